"""A named child of an `AgentSupervisor`: what its owner sees of it, over all its incarnations."""

from __future__ import annotations

from collections.abc import Generator
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from agenticaiframework.actors import ActorRef, Agent

from ..machine.results import FailedToStartChild
from ..machine.supervisable import Supervisable, close_target
from ..policy.child_spec import ChildSpec
from ..vocabulary.errors import ChildStopped, SupervisorNotRunning
from ..vocabulary.kinds import RestartType
from .targets import PykkaTarget

if TYPE_CHECKING:
    from ..machine.child import Child
    from .agent_supervisor import AgentSupervisor


class ChildState(StrEnum):
    """Where a child of an `AgentSupervisor` stands."""

    NEW = "new"
    """Its supervisor does not run."""
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    """Between two incarnations: its backoff, or a start that is tried again."""
    DECIDING = "deciding"
    """It failed, and the failure handler thinks about it."""
    STOPPED = "stopped"
    """It ended, and its restart type or the failure handler says that it stays down."""
    GAVE_UP = "gave up"
    """It failed too often."""
    FAILED = "failed"
    """It did not start when it was added."""
    REMOVED = "removed"

    @property
    def is_down(self) -> bool:
        """Whether it stays as it is unless somebody acts."""
        return self in _DOWN

    @property
    def is_passing(self) -> bool:
        """Whether it goes on to another state by itself."""
        return self in _PASSING


_PASSING = frozenset({ChildState.STARTING, ChildState.RESTARTING, ChildState.DECIDING})
_DOWN = frozenset({ChildState.STOPPED, ChildState.GAVE_UP, ChildState.FAILED, ChildState.REMOVED})


class SupervisedChild:
    """A child by its name: valid across restarts, before the start and after the end.

    ``await child`` waits until it runs. Owned by the loop's thread of the supervisor's system.
    """

    def __init__(
        self,
        supervisor: AgentSupervisor,
        target: Supervisable,
        spec: ChildSpec,
        keeps_mailbox: bool,
    ) -> None:
        self.supervisor = supervisor
        self.target = target
        self.spec = spec
        self.keeps_mailbox = keeps_mailbox
        self.state = ChildState.NEW
        self.ref: ActorRef[Any] | None = None
        """The latest incarnation, which may have ended."""
        self.incarnation = 0
        self.last_exit: Any = None
        """Why the latest incarnation that ended did; None before the first end."""
        self.record: Child | None = None
        """What the running supervisor remembers of it."""

    def __repr__(self) -> str:
        return f"<child {self.name!r} of {self.supervisor.name!r}: {self.state}>"

    @property
    def name(self) -> str:
        """Its name under its supervisor."""
        return str(self.spec.id)

    @property
    def restarts(self) -> int:
        """How often it has been restarted since its supervisor started."""
        return 0 if self.record is None else self.record.restarts

    @property
    def is_alive(self) -> bool:
        """Whether an incarnation runs."""
        return self.state is ChildState.RUNNING and self.ref is not None and self.ref.is_alive()

    def __await__(self) -> Generator[Any, None, Self]:
        yield from self.supervisor.wait_until(self.name, ChildState.RUNNING).__await__()
        return self

    async def ask(self, payload: Any = None, timeout: float | None = None) -> Any:
        """Return its answer to *payload*; between two incarnations, that of the next.

        Raises `ChildStopped` at once if it stays down, and otherwise what its kind raises: an agent
        `AgentFailed` and `AgentTimeout`, an actor its handler's exception, `ActorDied` and
        `RequestTimeout`.
        """
        self._check()
        target: Any = self.target
        system = self.supervisor.known_system
        if isinstance(target, Agent):
            return await target.request(payload, timeout, system=system)
        if hasattr(target, "ask"):
            return await target.ask(payload, timeout)
        return await target.address(system).request(payload, timeout)

    def tell(self, payload: Any) -> None:
        """Send it *payload* and wait for nothing; between two incarnations it is kept."""
        self._check()
        target = self.target
        if isinstance(target, Agent | PykkaTarget):
            target.tell(payload)
        else:
            target.address(self.supervisor.known_system).tell(payload)

    def _check(self) -> None:
        if self.state is ChildState.NEW:
            raise SupervisorNotRunning(self.supervisor.name)
        if self.state.is_down:
            raise self.down_error()

    def down_error(self) -> ChildStopped:
        """Return the error that says that it is down, and what brings it back."""
        supervisor, name = self.supervisor, self.name
        way_back = None
        if self.state is ChildState.REMOVED or (
            self.state is ChildState.STOPPED and self.spec.restart is RestartType.TEMPORARY
        ):
            way_back = f"Add it anew with `supervisor.add_child({name!r}, agent)`."
        elif not supervisor.is_running:
            way_back = (
                f"Supervisor {supervisor.name!r} does not run: start it with "
                "`await supervisor.start()`."
            )
        return ChildStopped(supervisor.name, name, self.state, self.last_exit, way_back)

    # -- for its supervisor --------------------------------------------------------------------

    def held_by(self, owner: ActorRef[Any], before: ActorRef[Any] | None = None) -> None:
        """Let *owner* decide about the next incarnation, unless another than *before* does.

        An agent starts by itself on a message that finds it unsupervised. So that it does not in the
        moments in which its supervisor is about to start it, or is itself being restarted, somebody
        must own it at all times.
        """
        address: Any = self.target.address(self.supervisor.known_system)
        if not hasattr(address, "owner"):
            return
        current = address.owner
        if current is None or current is before or not current.is_alive():
            address.owner = owner

    def started(self, record: Child, ref: ActorRef[Any]) -> None:
        """Note a new incarnation."""
        self.record = record
        self.ref = ref
        self.incarnation += 1
        self.moved(ChildState.RUNNING)

    def ended(self, reason: Any) -> None:
        """Note the end of an incarnation, after which another may come."""
        self.last_exit = reason
        if not self.keeps_mailbox:
            self.target.address(self.supervisor.known_system).drop(reason)
        self.moved(ChildState.RESTARTING)

    def own_end(self, reason: Any) -> Any:
        """Return why it ended itself, or did not start, if its supervisor ended with *reason*."""
        if reason.__class__ is tuple:
            failed = reason[-1]
            if isinstance(failed, FailedToStartChild) and failed.id == self.name:
                return failed.reason
        if self.state in (ChildState.RESTARTING, ChildState.DECIDING):
            return self.last_exit
        return getattr(self.ref, "exit_reason", None)

    def closed(
        self, state: ChildState, reason: Any, *, orderly: bool = False, last_exit: Any = None
    ) -> None:
        """Note that it stays down: what waits for it fails.

        After an *orderly* end it belongs to nobody: an agent then starts on demand again, as one
        that was never supervised. *last_exit* is why it ended itself, where that is not *reason*.
        """
        self.last_exit = reason if last_exit is None else last_exit
        system = self.supervisor.known_system
        address = self.target.address(system)
        if orderly:
            address.drop(reason)
            ended_for_good = getattr(self.target, "ended_for_good", None)
            if ended_for_good is not None:
                ended_for_good(reason, orderly=True)
            self.target.release(system)
        else:
            close_target(self.target, system, reason)
        self.moved(state)

    def moved(self, state: ChildState) -> None:
        """Note its state, and wake who waits for it."""
        self.state = state
        self.supervisor.child_moved(self)
