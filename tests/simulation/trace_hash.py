"""One hash over the traces of many runs: ``python -m tests.simulation.trace_hash``.

The same on every supported Python and with any PYTHONHASHSEED; run it under two and compare.
"""

from __future__ import annotations

import hashlib
import sys

from agenticaiframework.actors.simulation import Faults, Search

from .scenarios import forgets_the_asker, lost_update, three_askers
from .suite import SUITE


def trace_hash(runs: int = 60) -> str:
    """Return the hash of *runs* runs of every scenario, faults and orders included."""
    digest = hashlib.sha256()
    searches = [
        Search(scenario, faults=Faults())
        for scenario in (three_askers, lost_update, forgets_the_asker)
    ]
    searches += [entry.search() for entry in SUITE if entry.name in STEADY]
    for search in searches:
        for _, report in search.reports(runs):
            digest.update(report.trace_hash.encode())
    return digest.hexdigest()


STEADY = ("signals", "messages", "bounded_mailboxes", "stashing", "timers", "trees")
"""Properties whose code, asyncio's included, takes the same steps on every Python."""


if __name__ == "__main__":
    print(f"{sys.version.split()[0]}  {trace_hash()}")
