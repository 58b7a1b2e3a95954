"""What the public supervisors have in common: an object that is made anywhere and started later.

A blueprint holds no actor of its own until `start`. It can be started by itself, several times over
its life, or as a child of another supervisor, which then decides when it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, cast

from agenticaiframework.actors import (
    SHUTDOWN,
    Actor,
    ActorDied,
    ActorRef,
    ActorSystem,
    Address,
    running_here,
)

from ..machine.messages import Ready, StopChild, StopSupervisor
from ..machine.supervisor import Supervisor
from ..policy.flags import SupervisorFlags
from ..vocabulary.checks import check_name
from ..vocabulary.errors import (
    BadOption,
    SupervisorNotRunning,
    SupervisorStartFailed,
    WaitsForOwnStart,
)
from ..vocabulary.kinds import ChildType, SupervisionStrategy
from ..vocabulary.reasons import FailedToStartChild
from .supervised_child import SupervisedChild
from .tree import SupervisionTree, tree_of


class SupervisorBlueprint:
    """A supervisor that can be started, stopped, nested, and started again.

    Constructing needs no event loop; everything else is called on the loop of the system. It runs
    in one system at a time. It owns its name, and which actor is its latest incarnation.
    """

    child_type = ChildType.SUPERVISOR
    flags = SupervisorFlags()
    """Strategy and restart limit; OTP's defaults unless a subclass says otherwise."""

    def __init__(self, name: str) -> None:
        kind = type(self).__name__
        check_name(name, kind, f"{kind}(name='workers')")
        self.name = name
        self._address: Address | None = None
        self._ref: ActorRef[Any] | None = None
        self._parent: ActorRef[Any] | None = None
        self.told_to_stop = False
        """Whether the latest incarnation ends, or ended, because it was asked to."""

    # -- for subclasses ------------------------------------------------------------------------

    def make_actor(self) -> tuple[type[Supervisor], tuple[Any, ...]]:
        """Return the class and the arguments of the actor that does the work."""
        raise TypeError(f"{type(self).__name__} does not say which actor does its work")

    def ended_for_good(self, reason: Any, *, orderly: bool = False) -> None:
        """Called when no further incarnation comes unless it is started again.

        *orderly*: because it was told to stop, or removed, and not because it failed.
        """

    # -- by itself -----------------------------------------------------------------------------

    @property
    def ref(self) -> ActorRef[Any] | None:
        """The ref of the supervisor's actor, if it runs."""
        return self._ref if self.is_running else None

    @property
    def is_running(self) -> bool:
        """Whether the supervisor's actor lives."""
        return self._ref is not None and self._ref.is_alive()

    @property
    def system(self) -> ActorSystem:
        """The system that it runs in. Raises `SupervisorNotRunning`."""
        return cast("ActorSystem", self.running_ref.system)

    @property
    def running_ref(self) -> ActorRef[Any]:
        """The ref of the running actor. Raises `SupervisorNotRunning`."""
        ref = self._ref
        if ref is None or not ref.is_alive():
            raise SupervisorNotRunning(self.name, None if ref is None else ref.exit_reason)
        return ref

    @property
    def strategy(self) -> SupervisionStrategy:
        """Which children are restarted when one of them fails."""
        return self.flags.strategy

    def __iter__(self) -> Iterator[SupervisedChild]:
        """Yield the children that are known by name, in the order in which they are started."""
        return iter(())

    def tree(self) -> SupervisionTree:
        """Return the whole tree below this supervisor as data; ``print`` it, or draw `mermaid`."""
        return tree_of(self)

    def check_wait(self) -> None:
        """Raise `WaitsForOwnStart` if this call is made by an `on_start` that this supervisor awaits."""
        here = running_here()
        while here is not None and not here.in_service:
            look = here.system.info(here)
            if look.state != "starting" or look.parent is None:
                return
            if look.parent is self._ref:
                raise WaitsForOwnStart(self.name, here.label)
            here = look.parent

    async def request(self, message: Any) -> Any:
        """Return the actor's answer to *message*.

        Raises `SupervisorNotRunning`, and `WaitsForOwnStart`.
        """
        self.check_wait()
        ref = self.running_ref
        try:
            return await ref.request(message)
        except ActorDied as died:
            raise SupervisorNotRunning(self.name, died.reason) from None

    @property
    def last_reason(self) -> Any:
        """Why the latest incarnation ended; None if there was none or it runs."""
        return None if self._ref is None else self._ref.exit_reason

    async def start(self) -> Self:
        """Start the supervisor and its children, and return once all of them run.

        Does nothing if it runs already. Raises `SupervisorStartFailed` if a child does not start;
        those that were started before it have then been stopped again. When the awaiting code is
        cancelled, the start goes on; `stop` ends it.
        """
        self.check_wait()
        ref = self._ref
        if ref is None or not ref.is_alive():
            actor_class, args = self.make_actor()
            system = ActorSystem.current()
            ref = system.start(actor_class, *args, _name=self.name)
            self.began(ref)
        try:
            await ref.request(Ready())
        except ActorDied as died:
            self.ended_for_good(died.reason)
            error = self._start_error(died.reason)
            raise error from error.__cause__
        return self

    async def stop(self, reason: Any = SHUTDOWN) -> None:
        """Stop the children, last one first, and then the supervisor. Does nothing if it is down.

        Under another supervisor, that one is asked to stop it, lest it be restarted.
        """
        ref = self._ref
        if ref is None or ref.exit_reason is not None:
            return
        self.told_to_stop = True
        system = cast("ActorSystem", ref.system)
        parent = self._parent
        if parent is not None and parent.is_alive():
            await parent.request(StopChild(ref))
        elif ref.in_service:
            ref.tell(StopSupervisor(reason))
        else:
            # It starts still, or is suspended, and reads no message.
            system.end_actor(ref, reason)
        await system.wait_ended(ref)

    async def __aenter__(self) -> Self:
        running = self.is_running
        try:
            return await self.start()
        except asyncio.CancelledError:
            # There will be no `__aexit__`.
            if not running:
                await self.stop()
            raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    def began(self, ref: ActorRef[Any]) -> None:
        """Note the ref of a new incarnation."""
        address = self.address(ref.system)
        if address.ref is not ref:
            self._ref = ref
            self.told_to_stop = False
            address.bind(ref)

    def _start_error(self, reason: Any) -> SupervisorStartFailed:
        path: list[str] = []
        while cast(Any, type(reason)) is tuple and reason:
            failed = reason[-1]
            if not isinstance(failed, FailedToStartChild):
                break
            path.append(str(failed.id))
            reason = failed.reason
        return SupervisorStartFailed(self.name, "/".join(path) or None, reason)

    # -- under another supervisor --------------------------------------------------------------

    def address(self, system: ActorSystem | None = None) -> Address:
        """Return the address of the supervisor's actor in *system*."""
        wanted = ActorSystem.current() if system is None else system
        if self._address is None or self._address.system is not wanted:
            self._address = Address(self.name, wanted)
        return self._address

    async def start_under(
        self, parent: Actor, timeout: float | None = None
    ) -> ActorRef[Any] | None:
        """Start it as a child of *parent*; one that runs by itself becomes its child as it is."""
        owner = self._parent
        if owner is not None and owner.is_alive() and owner is not parent.actor_ref:
            raise BadOption(
                f"Supervisor {self.name!r}",
                f"it is a child of {owner.label} already",
                "await the removal there first, or make a supervisor of its own",
            )
        self._parent = parent.actor_ref
        ref = self._ref
        if ref is not None and ref.is_alive() and ref.system is parent.system:
            parent.adopt(ref)
            return ref
        actor_class, args = self.make_actor()
        ref = await parent.start_link(actor_class, *args, name=self.name, timeout=timeout)
        if ref is not None:
            self.began(ref)
        return ref

    def release(self, system: ActorSystem) -> None:
        """Belong to no supervisor any more."""
        self._parent = None
        self.address(system).close("removed")
        self.ended_for_good("removed", orderly=True)
