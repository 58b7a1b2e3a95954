"""A named child of an `AgentSupervisor`, as its users hold it, over all its incarnations."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Protocol, Self, cast

from agenticaiframework.actors import ActorRef, ActorSystem, Address, Agent

from ..machine.child import Child, CoolDown
from ..machine.supervisable import Supervisable, close_target, pause_target, reopen_target
from ..policy.child_spec import ChildSpec
from ..vocabulary.errors import ChildStopped, SupervisorNotRunning, WaitTimeout
from ..vocabulary.kinds import ChildState, RestartType
from ..vocabulary.reasons import FailedToStartChild
from .targets import PykkaTarget


class NamingSupervisor(Protocol):
    """What a named child asks of its supervisor."""

    name: str

    @property
    def is_running(self) -> bool: ...

    @property
    def known_system(self) -> ActorSystem:
        """The system that it runs in, or ran in last; the current one if it never ran."""
        ...

    def check_wait(self) -> None:
        """Raise `WaitsForOwnStart` if this call is made by an `on_start` that it awaits."""
        ...

    def temporary_ended(self, child: SupervisedChild) -> None:
        """Note that a temporary child has ended for good."""
        ...


class SupervisedChild:
    """A child by its name: valid across restarts, before the start and after the end.

    ``await child`` waits until it runs. Its state is that of the record that its supervisor keeps,
    its incarnations are counted by its address; what it owns itself is the list of those who wait
    for a state. Used on the loop's thread of the supervisor's system.
    """

    def __init__(
        self,
        supervisor: NamingSupervisor,
        target: Supervisable,
        spec: ChildSpec,
        keeps_mailbox: bool,
    ) -> None:
        self.supervisor = supervisor
        self.target = target
        self.spec = spec
        self.keeps_mailbox = keeps_mailbox
        self.record: Child | None = None
        """What its supervisor remembers of it; None before the first start."""
        self._waiters: list[tuple[ChildState, asyncio.Future[ChildState]]] = []

    def __repr__(self) -> str:
        return f"<child {self.name!r} of {self.supervisor.name!r}: {self.state}>"

    @property
    def name(self) -> str:
        """Its name under its supervisor."""
        return str(self.spec.id)

    @property
    def state(self) -> ChildState:
        """Its state, as its supervisor's record says."""
        return ChildState.NEW if self.record is None else self.record.state

    @property
    def ref(self) -> ActorRef[Any] | None:
        """The latest incarnation, which may have ended."""
        record = self.record
        return None if record is None else record.ref or record.last_ref

    @property
    def incarnation(self) -> int:
        """How many incarnations it has had in this system, those before its supervision included."""
        return 0 if self.record is None else self.home.incarnation

    @property
    def last_exit(self) -> Any:
        """Why the latest incarnation that ended did; None before the first end."""
        return None if self.record is None else self.record.last_reason

    @property
    def restarts(self) -> int:
        """How often it has been restarted since its supervisor started, or started it afresh."""
        return 0 if self.record is None else self.record.restarts

    @property
    def back_in_s(self) -> float | None:
        """In how many seconds it is started afresh, if it cools down after too many failures."""
        cool_down = None if self.record is None else self.record.cool_down
        if cool_down is None:
            return None
        return max(0.0, cool_down.back_at - self.supervisor.known_system.clock())

    @property
    def is_alive(self) -> bool:
        """Whether an incarnation runs."""
        record = self.record
        if record is None or record.state is not ChildState.RUNNING or record.ref is None:
            return False
        return record.ref.is_alive()

    @property
    def home(self) -> Address:
        """Its address in the system of its supervisor."""
        return self.target.address(self.supervisor.known_system)

    def __await__(self) -> Generator[Any, None, Self]:
        yield from self.wait_until(ChildState.RUNNING).__await__()
        return self

    async def ask(self, payload: Any = None, timeout: float | None = None) -> Any:
        """Return its answer to *payload*; between two incarnations, that of the next.

        Raises `ChildStopped` at once if it stays down or cools down, and otherwise what its kind
        raises: an agent `AgentFailed` and `AgentTimeout`, an actor its handler's exception,
        `ActorDied` and `RequestTimeout`.
        """
        self._check()
        if self.state is ChildState.COOLING_DOWN:
            raise self.down_error()
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
            self.home.tell(payload)

    def _check(self) -> None:
        record = self.record
        if record is None:
            raise SupervisorNotRunning(self.supervisor.name)
        if record.down is not None:
            raise self.down_error()
        if not self.is_alive:
            self.supervisor.check_wait()

    def down_error(self) -> ChildStopped:
        """Return the error that says that it is down, and what brings it back."""
        supervisor, name = self.supervisor, self.name
        back_in_s = self.back_in_s
        way_back = None
        if back_in_s is not None:
            way_back = f"It is started afresh in {back_in_s:.3g} s, or by `restart_child`."
        elif self.state is ChildState.REMOVED or (
            self.state is ChildState.STOPPED and self.spec.restart is RestartType.TEMPORARY
        ):
            way_back = f"Add it anew with `supervisor.add_child({name!r}, agent)`."
        elif not supervisor.is_running:
            way_back = (
                f"Supervisor {supervisor.name!r} does not run: start it with "
                "`await supervisor.start()`."
            )
        return ChildStopped(
            supervisor.name, name, self.state, self.last_exit, way_back, back_in_s=back_in_s
        )

    async def wait_until(self, wanted: ChildState, timeout: float | None = 30.0) -> None:
        """Wait until it is in the state *wanted*; see `AgentSupervisor.wait_until`."""
        system = ActorSystem.current()
        deadline = None if timeout is None else system.clock() + timeout
        while self.state is not wanted or (wanted is ChildState.RUNNING and not self.is_alive):
            self.supervisor.check_wait()
            if wanted is ChildState.RUNNING and self.state.is_down:
                raise self.down_error()
            future: asyncio.Future[ChildState] = asyncio.get_running_loop().create_future()
            waiter = (wanted, future)
            self._waiters.append(waiter)
            try:
                left = None if deadline is None else max(deadline - system.clock(), 0.0)
                if (await asyncio.wait_for(future, left)).is_passing:
                    return  # It was reached, and may be over by now.
            except TimeoutError:
                waited_for = (
                    f"The child {self.name!r} of supervisor {self.supervisor.name!r} "
                    f"was not {wanted}"
                )
                raise WaitTimeout(waited_for, timeout or 0.0, self.state) from None
            finally:
                self._waiters.remove(waiter)

    # -- for its supervisor --------------------------------------------------------------------

    def held_by(self, owner: ActorRef[Any], before: ActorRef[Any] | None = None) -> None:
        """Let *owner* decide about the next incarnation, unless another than *before* does.

        An agent starts by itself on a message that finds it unsupervised. So that it does not while
        its supervisor is about to start it, or is itself being restarted, it has an owner at all
        times.
        """
        address: Any = self.home
        if not hasattr(address, "owner"):
            return
        current = address.owner
        if current is None or current is before or not current.is_alive():
            address.owner = owner

    def new_record(self) -> Child:
        """Return a fresh record, for the incarnation of the supervisor that begins."""
        record = self.record
        fresh = Child(self.spec, handle=self) if record is None else record.renewed()
        self.rests_no_more()
        self.record = fresh
        self.moved()
        return fresh

    def moved(self) -> None:
        """Wake the waits for the state that it is in now; once it is down, all of them."""
        if not self._waiters:
            return
        state = self.state
        for wanted, future in self._waiters:
            if (state is wanted or state.is_down) and not future.done():
                future.set_result(state)

    def ended(self) -> None:
        """Note the end of an incarnation, after which another may come."""
        if not self.keeps_mailbox:
            self.home.drop(self.last_exit)
        self.moved()

    def over(self, state: ChildState = ChildState.STOPPED) -> None:
        """Note that its supervisor starts no further incarnation by itself: it stays in *state*."""
        if not self.state.is_down:
            self.closed(state, self.last_exit)
        if self.spec.restart is RestartType.TEMPORARY:
            self.supervisor.temporary_ended(self)

    def cools_down(self, back_at: float) -> None:
        """Note that its supervisor starts the next incarnation at *back_at*, and not before."""
        pause_target(self.target, self.supervisor.known_system, self.last_exit, back_at)
        self.moved()

    def rests_no_more(self) -> None:
        """Note that its supervisor has ended, and another incarnation of that may begin it anew."""
        record = self.record
        if record is not None and record.cool_down is not None:
            record.stopped()
            self.may_come()

    def may_come(self) -> None:
        """Note that the next incarnation may begin at any time again: what is asked is kept for it."""
        reopen_target(self.target, self.supervisor.known_system)
        self.moved()

    def rests(self, cause: Any, back_at: float) -> None:
        """Note that its supervisor, or one above that, is started afresh at *back_at*."""
        record = self.record
        if record is None or record.down is not None:
            return
        record.timer = CoolDown(record, back_at)
        pause_target(self.target, self.supervisor.known_system, cause, back_at)
        self.moved()

    def own_end(self, reason: Any) -> Any:
        """Return why it ended itself, or did not start, if its supervisor ended with *reason*."""
        if cast(Any, type(reason)) is tuple and reason:
            failed = reason[-1]
            if isinstance(failed, FailedToStartChild) and failed.id == self.name:
                return failed.reason
        if self.state in (ChildState.RESTARTING, ChildState.DECIDING):
            return self.last_exit
        return getattr(self.ref, "exit_reason", None)

    def closed(
        self, state: ChildState, reason: Any, *, orderly: bool = False, last_exit: Any = None
    ) -> None:
        """Note that it stays down in *state*: messages that wait for it fail.

        After an *orderly* end it belongs to no supervisor: an agent then starts on demand again, as
        one that was never supervised. *last_exit* is why it ended itself, where that is not *reason*.
        """
        record = self.record
        if record is None:
            record = self.record = Child(self.spec, handle=self)
        record.down = state
        record.last_reason = reason if last_exit is None else last_exit
        system = self.supervisor.known_system
        if orderly:
            self.home.drop(reason)
            ended_for_good = getattr(self.target, "ended_for_good", None)
            if ended_for_good is not None:
                ended_for_good(reason, orderly=True)
            self.target.release(system)
        else:
            close_target(self.target, system, reason)
        self.moved()

    def removed(self) -> None:
        """Note that it was removed: it belongs to no supervisor any more."""
        if self.state is ChildState.NEW:
            # Its supervisor has never had it, so there is nothing to be given back.
            self.record = Child(self.spec, handle=self)
            self.record.down = ChildState.REMOVED
            self.moved()
        else:
            self.closed(ChildState.REMOVED, "removed", orderly=True)
