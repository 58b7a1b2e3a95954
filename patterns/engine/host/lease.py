"""The engine's lease with its store: renewed whatever else its keeper does, and looked at before steps begin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from agenticaiframework.actors import Actor

from ..store import StoreError, StoreUnavailable

__all__ = ["LEASE_RENEWED", "RENEW", "Lease", "LeaseKeeper"]

RENEW: Final = "renew"
AGAIN: Final = "renew again"

LEASE_RENEWED: Final = "lease renewed"
"""Told to the engine's actor: what is still here is held for sure."""


class Lease:
    """Until when the engine holds its runs for sure, by the clock of its loop. Written by its keeper.

    It counts from before the store was asked. A process that was stopped for longer finds out here,
    without asking, that another engine may have its runs by now.
    """

    __slots__ = ("_clock", "lease_s", "until")

    def __init__(self, clock: Callable[[], float], lease_s: float) -> None:
        self._clock = clock
        self.lease_s = lease_s
        self.until = clock() + lease_s

    @property
    def in_doubt(self) -> bool:
        """Whether it may have ended."""
        return self._clock() >= self.until

    async def renew(self, ask: Callable[[], Awaitable[None]]) -> None:
        """Have the store asked; what has been lost has been let go of once *ask* returns."""
        asked_at = self._clock()
        await ask()
        self.until = asked_at + self.lease_s


class LeaseKeeper(Actor):
    """Renews the lease: a purge, a recovery or a table that is locked keep the keeper waiting, not this.

    While the store does not answer, the keeper's probes are more often than this. Linked to the keeper.
    """

    def __init__(
        self,
        renew: Callable[[], Awaitable[None]],
        failed: Callable[[str, StoreError], None],
        lease_s: float,
    ) -> None:
        super().__init__()
        self._renew = renew
        self._failed = failed
        self._lease_s = lease_s
        self._tries_again = False
        """Whether it has told itself to renew sooner than the next time."""

    def on_start(self) -> None:
        self.send_interval(self._lease_s / 3, RENEW)

    async def on_receive(self, message: Any) -> None:
        if message == AGAIN:
            self._tries_again = False
        try:
            await self._renew()
        except StoreError as error:
            self._failed(RENEW, error)
            if not self._tries_again and not isinstance(error, StoreUnavailable):
                # Sooner than the next time: half of the lease may be over already.
                self._tries_again = True
                self.send_after(min(1.0, self._lease_s / 30), AGAIN)
