"""What a child says to its parent: one JSON object a line, on a pipe of their own."""

from __future__ import annotations

import json
import os
from typing import Any

_to_parent = os.fdopen(int(os.environ["FOREIGN_LINES"]), "w", buffering=1)


def say(**what: Any) -> None:
    """Tell the parent *what*."""
    _to_parent.write(json.dumps(what) + "\n")


def done_before() -> frozenset[str]:
    """Return the tests that a child before this one has come to."""
    with open(os.environ["FOREIGN_DONE"]) as file:
        return frozenset(file.read().splitlines())


PLACE = os.environ["FOREIGN_PLACE"]
LOOP = os.environ["FOREIGN_LOOP"]
