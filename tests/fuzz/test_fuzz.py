"""A short form of ``python -m tests.fuzz``, the same in every run."""

from __future__ import annotations

import pytest

pytest.importorskip("yaml")
pytest.importorskip("cyclopts")

from .entries import ENTRIES, Entry
from .running import run


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_hostile_inputs_end_in_errors_of_our_own(entry: Entry) -> None:
    # A machine that is busy makes everything slow: the bound is for what grows without end.
    found = list(run(entry, range(3_000 if entry.cheap else 40), slowest_s=5.0))
    assert not found, "\n".join(f"seed {fault.seed}: {fault.what}" for fault in found[:3])
