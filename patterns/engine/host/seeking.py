"""Looking for a part in the store, beside the engine's actor, which never waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from agenticaiframework.actors import Actor

from ...definition.errors import DefinitionError
from ..errors import RunUnreadable
from ..store import RunHeld, StoreCorrupt, StoreError, StoreUnavailable, UnknownRun

if TYPE_CHECKING:
    from ...vocabulary.target import Resolver
    from ..runner.opening import Opening
    from ..state.live import LiveRun
    from ..store import Lease, Store
    from .keeper import StoreKeeper


_STOPPED: Final = "the run around it is cancelled"


class Seek:
    """What is looked for: a part, for the work of the run around it."""

    __slots__ = ("bond", "later", "opening", "parent", "run_id", "work")

    def __init__(
        self, run_id: str, opening: Opening, parent: LiveRun, work: Any, bond: Any
    ) -> None:
        self.run_id = run_id
        self.opening = opening
        """What it goes on with, if it has ended."""
        self.parent = parent
        self.work = work
        self.bond = bond
        self.later = False
        """Whether it is looked for only after a pause."""

    @property
    def wanted(self) -> bool:
        """Whether the work still waits for it."""
        asked = getattr(self.work, "waiting", None)
        if asked is not None:
            return bool(asked)
        return not self.parent.over and self.work in self.parent.under_way


class PartFound:
    """Told to the engine's actor: what has become of a part in the store."""

    __slots__ = ("error", "live", "seek")

    def __init__(self, seek: Seek, live: LiveRun | None, error: BaseException | None) -> None:
        self.seek = seek
        self.live = live
        """The part, here or as it was found ended; None: there is none."""
        self.error = error


class Told(Protocol):
    """The engine's actor."""

    def tell(self, message: Any) -> None:
        """Send it a message."""
        ...


class PartSeeker(Actor):
    """Finds one part, or takes it over once nothing alive holds it; then it ends."""

    exit_is_crash = True

    def __init__(self, host: Told, keeper: StoreKeeper, seek: Seek, poll_s: float) -> None:
        super().__init__()
        self._host = host
        self._keeper = keeper
        self._seek = seek
        self._poll_s = poll_s

    async def on_start(self) -> None:  # type: ignore[override]
        seek = self._seek
        if seek.later:
            await asyncio.sleep(self._poll_s)
        while seek.wanted:
            try:
                live, settled = await self._look()
            except StoreUnavailable:
                settled, live = False, None  # an outage: nothing is known until it is over
            except Exception as error:
                self._host.tell(PartFound(seek, None, error))
                break
            if settled:
                self._host.tell(PartFound(seek, live, None))
                break
            await asyncio.sleep(self._poll_s)
        self.exit("normal")

    async def _look(self) -> tuple[LiveRun | None, bool]:
        """Return the part, and whether that is the last word: it is here, has ended, or is not there."""
        seek, recovery = self._seek, self._keeper.recovery
        around = None if seek.work.scope is None else seek.work.scope.resolver
        if seek.opening:
            try:
                found = await recovery.claim(seek.run_id, "old", seek.opening, around=around)
                return found, True
            except RunHeld:
                return None, False
        live, here = await recovery.pick_up(seek.run_id, around)
        if live is None or here or live.over:
            return live, True
        if seek.work.stopping:
            await self._keeper.store.request_cancel(seek.run_id, _STOPPED)
            return await self._end(around)
        return None, False

    async def _end(self, around: Resolver | None) -> tuple[LiveRun | None, bool]:
        """Have a part end that is to be stopped: what has it does, and otherwise it is claimed, also
        where it could not go on. One that cannot be read is ended as it stands, and not undone.
        """
        run_id, recovery = self._seek.run_id, self._keeper.recovery
        try:
            return await recovery.claim(run_id, "old", (), missing="all", around=around), True
        except RunHeld:
            return None, False
        except UnknownRun:
            return None, True
        except (StoreCorrupt, RunUnreadable, DefinitionError):
            await recovery.cancel_unread(run_id, _STOPPED)
            return await recovery.read(run_id), True


class LeaseReturn(Actor):
    """Gives one part up, so that any engine may go on with it; then it ends."""

    exit_is_crash = True

    def __init__(self, store: Store, lease: Lease) -> None:
        super().__init__()
        self._store = store
        self._lease = lease

    async def on_start(self) -> None:  # type: ignore[override]
        try:
            await self._store.release(self._lease)
        except StoreError as error:
            self.system.log.warning("{} was not given up: {}", self._lease, error)
        self.exit("normal")
