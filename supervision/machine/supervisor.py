"""The supervisor: an actor that starts, stops, watches and restarts its children as OTP's does.

What is here is common to all strategies: the start, the mailbox, the restart with its limit, stopping
children, and the reports. `KeyedChildren` indexes the children that have ids (``one_for_one``,
``one_for_all``, ``rest_for_one``) and knows which of them restart together, `DynamicChildren` those
that are told apart by their refs (``simple_one_for_one``, `DynamicSupervisor`).

A supervisor handles one thing at a time. While it starts or stops a child, requests and exit signals
wait in its mailbox in order; a restart that failed is tried again by a message to itself, so that
the waiting messages get their turn in between. Source: OTP's supervisor, whose observable behaviour
this is.
"""

from __future__ import annotations

import asyncio
import inspect
from asyncio import CancelledError
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias, cast
from weakref import WeakValueDictionary

from agenticaiframework.actors import (
    KILLED,
    SHUTDOWN,
    ActorExit,
    ActorRef,
    ActorSystem,
    Exit,
    Ignore,
    IncarnationFailed,
    is_a,
    is_normal,
    is_word,
    shown,
)

from ..policy.child_spec import ChildSpec, check_child_specs
from ..policy.flags import SupervisorFlags, check_flags
from ..policy.intensity import RestartWindow, cause_token
from ..vocabulary.errors import UnknownRequest
from ..vocabulary.kinds import (
    AutoShutdown,
    ChildState,
    ChildType,
    RestartType,
    SupervisionStrategy,
)
from ..vocabulary.problems import FlagError, SpecError
from ..vocabulary.reasons import (
    DECLINED,
    REACHED_MAX_RESTART_INTENSITY,
    BadReturn,
    BadStartSpec,
    FailedToStartChild,
    StartSpec,
    SupervisorData,
    TooManyFailures,
    gave_up_for_good,
)
from .child import Child
from .dynamic_children import DynamicChildren
from .incarnation import Incarnation
from .keyed_children import KeyedChildren
from .messages import BackoffOver, CoolDownOver, Ready, StopChild, StopSupervisor, TryAgain
from .owner import ChildOwner, Children
from .report_log import write_report
from .reports import ChildRestarting, ReportKind, SupervisorReport
from .requests import (
    CountChildren,
    DeleteChild,
    GetChildSpec,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChild,
    WhichChildren,
)
from .results import (
    ChildInfo,
    ChildInfoResult,
    ChildSpecResult,
    Counts,
    DoneResult,
    RestartChildResult,
    StartChildResult,
    StartError,
)
from .starting import start_process
from .stopping import Stopper
from .supervisable import close_target

Plan: TypeAlias = tuple[
    SupervisorFlags | Mapping[str, Any], Sequence[ChildSpec | Mapping[str, Any]]
]
"""What `Supervisor.init` returns: the flags, and the children in start order."""

_EACH_ALONE = (SupervisionStrategy.ONE_FOR_ONE, SupervisionStrategy.SIMPLE_ONE_FOR_ONE)
"""The strategies that restart each child by itself."""


class Advised(Protocol):
    """What a failure handler is registered with."""

    failure_handler: Callable[..., Any] | None


class Supervisor(ChildOwner):
    """An actor that keeps its children running.

    Give flags and children when starting it, or override `init`:

        class Pipeline(Supervisor):
            def init(self):
                return SupervisorFlags("rest_for_one", intensity=3, period_s=10), [
                    ChildSpec("source", Source),
                    ChildSpec("sink", (Sink, "out.txt"), restart="transient"),
                ]

        ref = Pipeline.start()                 # or, inside an actor, await self.start_link(Pipeline)
        result = await start_child(ref, ChildSpec("extra", Extra))

    The start succeeds when all children run. It fails with `StartFailed`, whose reason is
    ``("shutdown", FailedToStartChild(id, reason))`` for a child that did not start (those before it
    are stopped again, last one first), `SupervisorData` for bad flags, `StartSpec` or
    `BadStartSpec` for bad specifications, `BadReturn` for a bad return value of `init`.

    With ``intensity`` 3 and ``period_s`` 10, the fourth failure within ten seconds makes the
    supervisor stop its children, last one first, and end with reason ``shutdown``.

    It is the one writer of its children's records, its restart window and its index of children.
    """

    # The parent's exit signal waits its turn in the mailbox, as in OTP; see `_on_exit`.
    obey_parent = False
    # An unknown request has no effect but on its sender.
    crash_on_ask_error = False
    exit_is_crash = True
    children_crash_on_ask_error = True
    reports_children = True
    child_type = ChildType.SUPERVISOR
    advised: Advised | None = None
    """What may have a failure handler, which `consult` asks before each restart."""

    _requests: ClassVar[Mapping[type, str]] = {
        Exit: "_on_exit",
        IncarnationFailed: "_on_incarnation_failed",
        TryAgain: "_on_try_again",
        BackoffOver: "_on_backoff_over",
        StartChild: "_on_start_child",
        TerminateChild: "_on_terminate_child",
        RestartChild: "_on_restart_child",
        DeleteChild: "_on_delete_child",
        GetChildSpec: "_on_get_childspec",
        WhichChildren: "_on_which_children",
        WhichChild: "_on_which_child",
        CountChildren: "_on_count_children",
        Ready: "_on_ready",
        StopChild: "_on_stop_child",
        StopSupervisor: "_on_stop_supervisor",
    }
    _handlers: ClassVar[Mapping[type, Callable[[Any, Any], Any]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.bind_handlers()

    @classmethod
    def bind_handlers(cls) -> None:
        """Look up the methods that handle each kind of message, overridden ones included."""
        cls._handlers = {kind: getattr(cls, name) for kind, name in cls._requests.items()}

    def __init__(
        self,
        flags: SupervisorFlags | Mapping[str, Any] | None = None,
        children: Sequence[ChildSpec | Mapping[str, Any]] = (),
    ) -> None:
        super().__init__()
        self.trap_exit = True
        self._given: Plan = (SupervisorFlags() if flags is None else flags, children)
        self.flags = SupervisorFlags()
        self.window = RestartWindow(self.flags.intensity, self.flags.period_s)
        self.children: Children = KeyedChildren(self)
        self._stopper = Stopper(self)
        self._now: Callable[[], float] = _not_started
        """The system's time; that of its loop."""
        self._expected_end = False
        """Whether it was told to end, or has told the program already that it does."""
        self._last: list[Child] = []
        """The children when their supervisor began to stop them; some are forgotten on the way."""

    # -- for subclasses ------------------------------------------------------------------------

    def init(self) -> Any:
        """Return flags and children (a `Plan`); None declines to start. May be ``async``."""
        return self._given

    def new_record(self, spec: ChildSpec) -> Child:
        """Return the record of one of the children that `init` gave."""
        return Child(spec)

    async def consult(self, child: Child) -> bool:
        """Tell whether the failed *child* may go on to the restart limit at once.

        Called if there is a failure handler. False leaves the child to this method, which sees to it
        that `restart` or `stay_down` is called later.
        """
        return True

    async def limit_reached(self, child: Child) -> None:
        """React to one failure too many: here as OTP does, by ending the children and itself."""
        await self.give_up(child)

    async def give_up(self, child: Child, *, for_good: bool = False) -> None:
        """Stop the children and end, because *child* failed too often.

        The supervisor above decides whether there is another incarnation, unless it is *for_good*;
        where there is none above, the program is told.
        """
        then = "the supervisor stops its children and itself"
        above = self.parent
        if above is None:
            then += ", and the program is told"
        elif for_good:
            then += ", and is not started again"
        else:
            then += f"; {above.label} decides what follows"
        self.report(ReportKind.SHUTDOWN, child, REACHED_MAX_RESTART_INTENSITY, then)
        window = child.window or self.window
        why = TooManyFailures(child.spec.id, window.intensity, window.period_s)
        self._expected_end = True
        if self.is_root:
            # Before the children are stopped, for whose ends there may be no limit.
            self.system.give_up(self.actor_ref.label, why)
        self._last.append(child)
        self.children.forget(child)
        await self.end((SHUTDOWN, why) if for_good else SHUTDOWN)

    @property
    def is_root(self) -> bool:
        """Whether nothing is above it that would see its end."""
        return self.parent is None

    @property
    def strategy_name(self) -> str:
        """The strategy, for people."""
        return self.flags.strategy.value

    # -- life ----------------------------------------------------------------------------------

    async def on_start(self) -> None:  # type: ignore[override]  # hooks may be async
        _supervisors(self.system)[self.actor_ref] = self
        self._now = self.system.loop.time
        try:
            await self._begin()
        except BaseException as error:
            self.start_is_over(error)
            raise

    async def _begin(self) -> None:
        plan: Any = self.init()
        if inspect.isawaitable(plan):
            plan = await plan
        if plan is None:
            raise Ignore
        if plan.__class__ is not tuple or len(plan) != 2:
            raise ActorExit(BadReturn(plan))
        given_flags, specs = plan
        flags = check_flags(given_flags)
        if isinstance(flags, FlagError):
            raise ActorExit(SupervisorData(flags))
        self.flags = flags
        self.window = RestartWindow(flags.intensity, flags.period_s)
        await self.take_children(specs)

    async def take_children(self, given: Any) -> None:
        """Check the specifications and start the children, or end with what is wrong."""
        simple = self.flags.strategy is SupervisionStrategy.SIMPLE_ONE_FOR_ONE
        if simple and not (type(given) in (list, tuple) and len(given) == 1):
            raise ActorExit(BadStartSpec(given))
        specs = check_child_specs(given, self.flags.auto_shutdown)
        if isinstance(specs, SpecError):
            raise ActorExit(StartSpec(specs))
        if simple:
            self.children = DynamicChildren(self, specs[0])
            return
        records = [self.new_record(spec) for spec in specs]
        children = self.children = KeyedChildren(self, records)
        try:
            failed = await self._start_group(records, "nothing after it is started")
        except asyncio.CancelledError:
            # Told to stop meanwhile: what has started is stopped in order, as after a start.
            await children.stop_all()
            raise
        if failed is not None:
            await children.stop_all()
            self.start_failed(specs)
            child, error = failed
            raise ActorExit((SHUTDOWN, FailedToStartChild(child.spec.id, error.reason)))

    def on_receive(self, message: Any) -> Any:
        handler = self._handlers.get(cast(Any, type(message)))
        if handler is None:
            return self._unknown(message)
        return handler(self, message)

    def _unknown(self, message: Any) -> None:
        if self.current_request is not None:
            raise UnknownRequest(self.actor_ref, message)
        self.system.log.bind(supervisor=self.actor_ref.label).error(
            "{} ignores an unexpected message: {}", self.actor_ref.label, shown(message)
        )

    def start_is_over(self, error: BaseException) -> None:
        """Called when the start fails, whatever the reason: at the top, nothing else tells of it."""
        if self.is_root and not is_a(error, Ignore):
            self.system.give_up(self.actor_ref.label, end_of(error))

    def start_failed(self, specs: Sequence[ChildSpec]) -> None:
        """Called when one of *specs* did not start: their addresses close and pending requests fail."""
        for spec in specs:
            close_target(spec.start, self.system, SHUTDOWN)

    async def end(self, reason: Any) -> None:
        """Stop all children and end.

        Done in a handler rather than in `on_stop`, because a supervisor that is stopping is still
        alive: it takes requests (which fail when it is gone) and must read its exit signals.
        """
        self._last += self.children
        await self.children.stop_all()
        # Our messages to ourselves are void now; they are not dead letters.
        self.flush(lambda message: is_a(message, TryAgain, BackoffOver, CoolDownOver))
        raise ActorExit(reason)

    async def on_stop(self) -> None:  # type: ignore[override]
        # A killed supervisor does nothing any more; its links take the children down. Otherwise
        # `end` has mostly been here before, and there are no children left.
        self._last += self.children
        if not is_word(self.exit_reason, KILLED):
            await self.children.stop_all()
        self.over()

    async def on_failure(self, *_exc_info: Any) -> None:  # type: ignore[override]
        self._last += self.children
        # A supervisor that fails itself must not leave its subtree behind either.
        await self.children.stop_all()
        self.over()

    def over(self) -> None:
        """Called last: this incarnation stops its children no more."""
        for child in dict.fromkeys(self._last):
            self.child_closed(child)
        self.tell_program()

    def tell_program(self) -> None:
        """If nothing is above it, and it ends neither in order nor when told to, tell the program."""
        if self._expected_end or not self.is_root or is_normal(self.exit_reason):
            return
        self.system.give_up(self.actor_ref.label, self.exit_reason)

    # -- requests ------------------------------------------------------------------------------

    def _on_start_child(self, request: StartChild) -> Coroutine[Any, Any, StartChildResult]:
        return self.children.start_child(request.spec)

    def _on_terminate_child(self, request: TerminateChild) -> Coroutine[Any, Any, DoneResult]:
        return self.children.terminate_child(request.id)

    def _on_restart_child(self, request: RestartChild) -> Coroutine[Any, Any, RestartChildResult]:
        return self.children.restart_child(request.id)

    def _on_delete_child(self, request: DeleteChild) -> DoneResult:
        return self.children.delete_child(request.id)

    def _on_get_childspec(self, request: GetChildSpec) -> ChildSpecResult:
        return self.children.get_childspec(request.id)

    def _on_which_children(self, _request: WhichChildren) -> list[ChildInfo]:
        return self.children.which_children()

    def _on_which_child(self, request: WhichChild) -> ChildInfoResult:
        return self.children.which_child(request.id)

    def _on_count_children(self, _request: CountChildren) -> Counts:
        return self.children.count_children()

    def _on_ready(self, _request: Ready) -> bool:
        return True

    async def _on_stop_child(self, request: StopChild) -> None:
        child = self.children.by_ref.get(request.ref)
        if child is not None:
            await self.stop_in_turn((child,))
            self.child_closed(child)

    def _on_stop_supervisor(self, request: StopSupervisor) -> Coroutine[Any, Any, None]:
        self._expected_end = True
        return self.end(request.reason)

    # -- failures and restarts -------------------------------------------------------------------

    def _on_exit(self, message: Exit) -> Coroutine[Any, Any, None] | None:
        ref = message.ref
        if ref is None:
            return None
        child = self.children.by_ref.get(ref)
        if child is None:
            return self.end(message.reason) if ref is self.parent else None
        self.process_ended(child, ref, message.reason)
        return self._child_exited(child, message.reason)

    async def _child_exited(self, child: Child, reason: Any) -> None:
        if gave_up_for_good(reason):
            self.report(ReportKind.CHILD_TERMINATED, child, reason, "it is not restarted")
            await self.stay_down(child, ChildState.GAVE_UP)
            return
        restart = child.spec.restart
        if restart is RestartType.PERMANENT or (
            restart is RestartType.TRANSIENT and not is_normal(reason)
        ):
            self._report_restart(child, reason, "restarted")
            await self.child_failed(child)
            return
        if restart is RestartType.TEMPORARY and not is_normal(reason):
            self.report(ReportKind.CHILD_TERMINATED, child, reason, "it is not restarted")
        await self.stay_down(child)

    @property
    def replaces_incarnations(self) -> bool:
        """Whether the failure of one of several incarnations of a child concerns that one alone.

        Where children are restarted together, it is the failure of the child.
        """
        return self.flags.strategy in _EACH_ALONE

    def _on_incarnation_failed(
        self, message: IncarnationFailed
    ) -> Coroutine[Any, Any, None] | None:
        child = self.children.by_ref.get(message.pool)
        if child is None or child.stopping:
            return None
        return self._incarnation_failed(child, message)

    async def _incarnation_failed(self, child: Child, message: IncarnationFailed) -> None:
        """One of the incarnations of *child* has ended; the others serve on."""
        reason = child.last_reason = message.reason
        window = child.window or self.window
        if child.row and (message.served or message.ran_s > window.period_s):
            child.row = 0
        failed = Incarnation(child, message)
        restart = child.spec.restart
        if is_normal(reason) and restart is not RestartType.PERMANENT:
            failed.replace()  # it has ended in order: another comes when it is needed
        elif restart is RestartType.TEMPORARY:
            self.report(ReportKind.CHILD_TERMINATED, failed, reason, "it is not replaced")
            failed.give_up()
        else:
            self._report_restart(failed, reason, "replaced")
            await self.child_failed(failed)

    async def _as_whole(self, child: Child) -> Child:
        """Return *child*; where it is one of several incarnations, stop and return the whole child."""
        whole = child.whole
        if whole is not child:
            await self.stop_in_turn((whole,))
            whole.last_reason = child.last_reason
        return whole

    async def stay_down(self, child: Child, state: ChildState = ChildState.STOPPED) -> None:
        """Note that *child* ended and is not restarted; that may end the supervisor too."""
        if child.is_void:
            return
        child = await self._as_whole(child)
        self.children.forget(child)
        self.child_closed(child, state)
        automatic = self.flags.auto_shutdown
        if automatic is AutoShutdown.NEVER or not child.spec.significant:
            return
        if automatic is AutoShutdown.ANY_SIGNIFICANT or not self.children.any_significant():
            await self.end(SHUTDOWN)

    async def child_failed(self, child: Child) -> None:
        """Have *child*, whose `last_reason` says why it failed, restarted if nothing is against it.

        The failure handler is asked, the failure counted against the limit, the backoff waited for;
        then `start_process` starts the child, in the way that its specification says, or its pool
        replaces the incarnation.
        """
        advised = self.advised
        if advised is None or advised.failure_handler is None or await self.consult(child):
            await self.restart(child)

    def admit(self, child: Child) -> bool:
        """Count the failure of *child*; tell whether the limit allows a restart after it."""
        window = child.window or self.window
        return window.admit(self._now(), child.whole, cause_token(child.last_reason))

    async def restart(self, child: Child) -> None:
        """Restart *child* if the limit allows it, after its backoff if it has one."""
        if child.is_void:
            return
        if not self.admit(child):
            await self.limit_reached(await self._as_whole(child))
            return
        earlier = child.row
        child.row += 1
        child.restarts += 1
        if self.system.events.active:
            self.system.publish(ChildRestarting(self.actor_ref, child.spec.id, child.restarts))
        backoff = child.spec.backoff
        if backoff.initial_delay_s > 0:
            chance = self._chance(child)
            # Those that are restarted with it are stopped now, not when the time is over: they must
            # not run on without the one that they depend on.
            await self._stop_group(child)
            if child.whole is child:
                self.children.await_start(child)
            else:
                child.restarting = True  # the whole is there, and stays where it is in the index
            child.chance = None
            child.timer = self.send_after(backoff.delay_s(earlier, chance), BackoffOver(child))
        else:
            await self._restart_now(child)

    async def _restart_now(self, child: Child) -> None:
        """Stop those that the strategy restarts with *child*, then start all of them in order."""
        if isinstance(child, Incarnation):
            if not child.is_void:
                child.replace()
            return
        if child.restarting:
            self.children.start_begins(child)
        await self.start_again(await self._stop_group(child))

    async def _stop_group(self, child: Child) -> list[Child]:
        """Stop those that are restarted with *child*, last one first; return who is to be started."""
        if self.flags.strategy in _EACH_ALONE:
            return [child]
        children = cast("KeyedChildren", self.children)
        group = [member for member in children.group_of(child) if self.goes_with(member, child)]
        await self.stop_in_turn(group[::-1])
        # Temporary children are dropped on the way, and are not started again.
        for member in reversed(group):
            if not children.holds(member):
                self.child_closed(member)
        return [member for member in group if children.holds(member)]

    def goes_with(self, member: Child, child: Child) -> bool:
        """Tell whether *member*, which the strategy restarts with *child*, may be restarted now."""
        return True

    async def start_again(self, group: Iterable[Child]) -> None:
        """Start all of *group* in order; one that does not start is tried again, and the rest later."""
        failed = await self._start_group(group, "it is tried again")
        if failed is not None:
            child, error = failed
            child.last_reason = error.reason
            child.down = None
            self.children.await_start(child)
            # After whatever waits in the mailbox now.
            self.actor_ref.tell(TryAgain(child))

    async def _start_group(
        self, group: Iterable[Child], then: str
    ) -> tuple[Child, StartError] | None:
        """Start all of *group* in order, up to the first that fails; return that one."""
        for child in group:
            error = await start_process(self, child)
            if error is not None:
                self.report(ReportKind.START_ERROR, child, error.reason, then)
                return child, error
            if child.ref is None and child.spec.restart is RestartType.TEMPORARY:
                self.children.forget(child)
        return None

    def _on_try_again(self, message: TryAgain) -> Coroutine[Any, Any, None] | None:
        child = message.child
        # It may have been stopped, or started by hand, while this message was under way.
        return self.child_failed(child) if child.is_to_be_tried else None

    def _on_backoff_over(self, message: BackoffOver) -> Coroutine[Any, Any, None] | None:
        child = message.child
        # It may have been stopped, or started by hand, while this message was under way.
        if not child.restarting or child.timer is None:
            return None
        child.timer = None
        return self._restart_now(child)

    # -- processes -----------------------------------------------------------------------------

    def process_started(self, child: Child, ref: ActorRef[Any]) -> None:
        """Note that *child* has a process."""
        child.ref = ref
        child.down = None
        child.started_at = self._now()
        self.children.by_ref[ref] = child
        if child.handle is not None:
            child.handle.moved()

    def process_ended(self, child: Child, ref: ActorRef[Any], reason: Any) -> None:
        """Note that the process of *child* has ended."""
        self.children.by_ref.pop(ref, None)
        if child.row and self._has_served(child, ref):
            child.row = 0
        child.last_ref = ref
        child.ref = None
        child.last_reason = reason
        if child.handle is not None:
            child.handle.ended()

    def _has_served(self, child: Child, ref: ActorRef[Any]) -> bool:
        """Tell whether the incarnation *ref* was more than one of a row of failed restarts.

        It was if it handled a message, or if it ran for a whole period of the limit. A supervisor's
        messages are the ends of its children, and so prove nothing; a plain pykka actor's are unknown.
        """
        began = child.started_at
        period_s = (child.window or self.window).period_s
        if began is not None and self._now() - began > period_s:
            return True
        is_worker = child.spec.type is ChildType.WORKER
        return is_worker and hasattr(ref, "system") and self.system.info(ref).handled > 0

    def child_declined(self, child: Child) -> None:
        """Note that *child* declined to start: it stays down until it is started again."""
        child.down = None
        child.last_reason = DECLINED
        self.child_closed(child)

    def child_closed(self, child: Child, state: ChildState = ChildState.STOPPED) -> None:
        """Note that *child* stays down until it, or its supervisor, is started again: its mail fails."""
        if child.handle is not None:
            child.handle.over(state)
            return
        if child.down is None:
            child.down = state
        if child.actor_class is None:
            close_target(child.spec.start, self.system, child.last_reason)

    async def stop_in_turn(self, children: Sequence[Child]) -> None:
        await self._stopper.stop_in_turn(children)

    async def stop_together(self, children: Sequence[Child]) -> list[Child]:
        return await self._stopper.stop_together(children)

    # -- reports -------------------------------------------------------------------------------

    def _chance(self, child: Child) -> float:
        """Return the chance in the backoff of *child*, drawn once for a restart."""
        if not child.spec.backoff.jitter:
            return 0.0
        if child.chance is None:
            child.chance = self.system.random.random()
        return child.chance

    def _report_restart(self, child: Child, reason: Any, verb: str) -> None:
        """Report that *child* has failed, and what `child_failed`, which follows, is about to do."""
        kind = ReportKind.CHILD_TERMINATED
        advised = self.advised
        window = child.window or self.window
        if advised is not None and advised.failure_handler is not None:
            self.report(kind, child, reason, f"its failure handler decides whether it is {verb}")
        elif not window.admits(self._now(), child.whole, token := cause_token(reason)):
            self.report(kind, child, reason, "that was once too often")
        else:
            delay_s = 0.0
            if child.spec.backoff.initial_delay_s > 0:
                delay_s = child.spec.backoff.delay_s(child.row, self._chance(child))
            when = f"in {delay_s:.3g} s" if delay_s else "at once"
            then = f"it is {verb} {when}"
            adds = window.adds(self._now(), child.whole, token)
            self.report(kind, child, reason, then, back_in_s=delay_s, follows=adds)

    def report(
        self,
        kind: ReportKind,
        child: Child,
        reason: Any,
        next: str,
        *,
        children: int = 1,
        back_in_s: float | None = None,
        follows: int = 0,
    ) -> None:
        """Publish and log what happened to *child*, and what is done about it.

        *follows* is how many restarts that count the one which follows is: none for a death that goes
        with an event that is counted already.
        """
        window = child.window or self.window
        spec = child.spec
        ref = self.actor_ref
        report = SupervisorReport(
            kind,
            ref,
            spec.id,
            spec.type,
            child.ref or child.last_ref,
            reason,
            child.restarts,
            window.count(self._now()) + follows,
            window.intensity,
            window.period_s,
            next,
            children,
            back_in_s,
        )
        self.system.publish(report)
        write_report(self.system, report, path_of(self), child.last_reason, is_root=self.is_root)


Supervisor.bind_handlers()


def end_of(error: BaseException) -> Any:
    """Return the exit reason of an actor whose start raised *error*."""
    killed = KILLED if is_a(error, CancelledError) else error
    return getattr(error, "reason", killed)


def _not_started() -> float:
    raise AssertionError("a supervisor has no time before its start")


def _supervisors(system: ActorSystem) -> WeakValueDictionary[Any, Supervisor]:
    data = system.data
    if Supervisor not in data:
        data[Supervisor] = WeakValueDictionary()
    return cast("WeakValueDictionary[Any, Supervisor]", data[Supervisor])


def supervisors_of(system: ActorSystem) -> list[Supervisor]:
    """Return the live supervisors of *system*."""
    return [one for one in _supervisors(system).values() if one.actor_ref.is_alive()]


def supervisor_of(ref: Any) -> Supervisor | None:
    """Return the live supervisor behind *ref*, for a look at it; None if it is not a supervisor."""
    system: ActorSystem | None = getattr(ref, "system", None)
    if system is None or not ref.is_alive():
        return None
    return _supervisors(system).get(ref)


def path_of(supervisor: Supervisor) -> str:
    """Return its label after those of the supervisors above it, the root first: ``root/io``."""
    label = supervisor.actor_ref.label
    above = supervisor_of(supervisor.parent)
    return label if above is None else f"{path_of(above)}/{label}"
