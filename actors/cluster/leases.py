"""Leases: how a node knows that it is still a member, without a clock that two machines share.

A node asks the head to prolong its lease, and the lease then lasts `lease_s` from when it *asked*, by
its own clock. The head counts from when it *answered*, which is later. So when the head takes a node
for lost because of its lease, the node has ended its actors already, even if it still runs behind a
cut cable: no child is ever alive twice. (Clocks may differ in what they show; that they run equally
fast, within the tenth of a lease that the head waits longer, is assumed.)

The first lease of a node counts from when it is welcomed; the head waits a whole lease longer for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

RENEWALS: Final = 5
"""Renewals in the time of one lease, so that a few may be late."""

MARGIN: Final = 0.1
"""What the head waits longer, as a part of the lease."""


class OwnLease:
    """The lease of a node that is not the head. On its loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        lease_s: float,
        ask: Callable[[float], object],
        over: Callable[[], object],
    ) -> None:
        self._loop = loop
        self._lease_s = lease_s
        self._ask = ask
        self._over = over
        self._until = loop.time() + lease_s
        self._timers: list[asyncio.TimerHandle] = []
        self._renew()

    @property
    def until(self) -> float:
        """When it ends, by the loop's clock. From any thread."""
        return self._until

    def _renew(self) -> None:
        now = self._loop.time()
        if now >= self._until:
            self.close()
            self._over()
            return
        self._ask(now)
        next_s = min(self._lease_s / RENEWALS, self._until - now)
        self._timers = [self._loop.call_later(next_s, self._renew)]

    def granted(self, when: float) -> None:
        """The head has prolonged it, as asked at *when*."""
        self._until = max(self._until, when + self._lease_s)

    def close(self) -> None:
        """Ask no more."""
        for timer in self._timers:
            timer.cancel()
        self._timers = []


class LeaseWatch:
    """The head's watch over the leases of all nodes. On its loop's thread."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, lease_s: float, look: Callable[[float], object]
    ) -> None:
        self._loop = loop
        self._period_s = lease_s / RENEWALS
        self._lease_s = lease_s
        self._look = look
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._wait()

    def _wait(self) -> None:
        self._due = self._loop.time() + self._period_s
        self._timer = self._loop.call_later(self._period_s, self._check)

    def _check(self) -> None:
        now = self._loop.time()
        # A loop that was blocked has renewals waiting that it has not read yet.
        if now - self._due < self._period_s:
            self._look(now - self._lease_s * (1 + MARGIN))
        self._wait()

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()


__all__ = ["MARGIN", "LeaseWatch", "OwnLease"]
