"""Work for a processor, and nothing else: what a handler that computes does, also as a plain process.

``python -m benchmarks.computing CALLS`` does it so often.
"""

from __future__ import annotations

import sys

ROUNDS = 150_000
"""Of one call: some ten milliseconds."""


def computed(rounds: int) -> int:
    """Return a number that takes so many rounds to compute."""
    total = 0
    for number in range(rounds):
        total += number * number % 7
    return total


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        computed(ROUNDS)

__all__ = ["ROUNDS", "computed"]
