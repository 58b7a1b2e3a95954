"""The lowest floor: a deque and a call. No address, no scheduling, nothing can interleave."""

from __future__ import annotations

from collections import deque

from benchmarks.measure import now, rate, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS: tuple[str, ...] = ()


class Counter:
    """Count what it is called with."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def on_receive(self, message: object) -> None:
        """Count one."""
        self.count += 1


def counting(job: Job) -> Outcome:
    """Append everything, then call the handler for each."""
    settle()
    started = now()
    counter = Counter()
    mailbox: deque[object] = deque()
    for _ in range(job.operations):
        mailbox.append("one")
    while mailbox:
        counter.on_receive(mailbox.popleft())
    seconds = now() - started
    check("messages counted", job.operations, counter.count)
    return rate(job.operations, seconds)


def spawn(job: Job) -> Outcome:
    """Make objects and keep them."""
    settle()
    started = now()
    actors = [Counter() for _ in range(job.operations)]
    seconds = now() - started
    check("objects made", job.operations, len(actors))
    return rate(job.operations, seconds)


WORKLOADS = {"counting": counting, "spawn": spawn}
