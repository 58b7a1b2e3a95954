"""Runs entries over seeds, and says what they found."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from agenticaiframework.actors import AgenticError

from .entries import Entry
from .hostile import Hostile


@dataclass(frozen=True)
class Found:
    """A fault: the entry, the seed that makes its input again, and what happened."""

    entry: str
    seed: int
    what: str


def run(entry: Entry, seeds: Iterable[int], slowest_s: float) -> Iterator[Found]:
    """Yield the faults that *entry* has with the inputs of *seeds*.

    A fault is an error that is neither our own nor one of the entry's, or an input that takes the
    processor for longer than *slowest_s*.
    """
    with suppress(Exception):
        entry.run(
            Hostile(random.Random(0))
        )  # what is imported with the first input is no input's time
    for seed in seeds:
        began = time.process_time()
        try:
            entry.run(Hostile(random.Random(seed)))
        except (AgenticError, *entry.also):
            pass
        except Exception:
            yield Found(entry.name, seed, traceback.format_exc(limit=-8))
        spent_s = time.process_time() - began
        if spent_s > slowest_s:
            yield Found(entry.name, seed, f"it took {spent_s:.2f} s of the processor")
