"""The supervisor: an actor that starts, stops, watches and restarts its children as OTP's does.

What is here is common to all strategies: the start, the mailbox, the restart limit, stopping
children, and the reports. `KeyedChildren` holds the children that have ids (``one_for_one``,
``one_for_all``, ``rest_for_one``), `DynamicChildren` those that are told apart by their refs
(``simple_one_for_one``, `DynamicSupervisor`).

A supervisor handles one thing at a time. While it starts or stops a child, requests and exit signals
wait in its mailbox in order; a restart that failed is tried again by a message to itself, so that
what waits gets its turn in between. Source: OTP's supervisor, whose observable behaviour this is.
"""

from __future__ import annotations

import inspect
import math
from asyncio import timeout as time_limit
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias, cast

import pykka
from loguru import logger

from agenticaiframework.actors import (
    KILLED,
    NOPROC,
    SHUTDOWN,
    Actor,
    ActorExit,
    ActorRef,
    Exit,
    Ignore,
    StartFailed,
    is_normal,
)

from .child import Child
from .child_spec import (
    BRUTAL_KILL,
    START_TIMEOUT,
    ChildSpec,
    Shutdown,
    Started,
    check_child_specs,
)
from .dynamic_children import DynamicChildren
from .flags import SupervisorFlags, check_flags
from .intensity import RestartWindow, cause_token
from .keyed_children import KeyedChildren
from .kinds import AutoShutdown, RestartType, SupervisionStrategy
from .messages import BackoffOver, TryAgain
from .reports import REACHED_MAX_RESTART_INTENSITY, ReportKind, SupervisorReport, publish
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
    BadStartReturn,
    ChildInfo,
    ChildProblem,
    ChildSpecResult,
    Counts,
    DoneResult,
    Error,
    Ok,
    RestartChildResult,
    StartChildResult,
    StartCrashed,
    StartError,
    SupervisionError,
)
from .spec_errors import BadReturn, BadStartSpec, FlagError, SpecError, StartSpec, SupervisorData

Plan: TypeAlias = tuple[
    SupervisorFlags | Mapping[str, Any], Sequence[ChildSpec | Mapping[str, Any]]
]
"""What `Supervisor.init` returns: the flags, and the children in start order."""


class UnknownRequest(SupervisionError):
    """A supervisor was asked something that is no request of its protocol."""

    def __init__(self, supervisor: Any, message: Any) -> None:
        super().__init__(
            f"{supervisor} does not know the request {message!r}. "
            "Use start_child, terminate_child, which_children and their like."
        )


class Supervisor(Actor):
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
    """

    # The parent's exit signal waits its turn in the mailbox, as in OTP; see `_on_exit`.
    obey_parent = False

    _requests: ClassVar[Mapping[type, str]] = {
        Exit: "_on_exit",
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
    }
    _handlers: ClassVar[Mapping[type, Callable[[Any, Any], Any]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._bind_handlers()

    @classmethod
    def _bind_handlers(cls) -> None:
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
        self._children: KeyedChildren | DynamicChildren = KeyedChildren(self)
        self._unread: dict[Any, Any] = {}
        """Exit reasons taken from the mailbox ahead of time; see `_unread_reason`."""

    # -- for subclasses ------------------------------------------------------------------------

    def init(self) -> Any:
        """Return flags and children (a `Plan`); None declines to start. May be ``async``."""
        return self._given

    async def consult(self, child: Child) -> bool:  # noqa: ARG002 - for those who override it
        """Tell whether the failed *child* may go on to the restart limit at once.

        False leaves the child to this method, which calls `restart` or `stay_down` later.
        """
        return True

    async def limit_reached(self, child: Child) -> None:
        """React to one failure too many: here as OTP does, by ending the children and itself."""
        self.report(
            ReportKind.SHUTDOWN,
            child,
            REACHED_MAX_RESTART_INTENSITY,
            "the supervisor stops its children and itself",
        )
        self._children.forget(child)
        await self._end(SHUTDOWN)

    def child_started(self, child: Child) -> None:
        """Called when *child* has a new incarnation, `child.ref`."""

    def child_ended(self, child: Child) -> None:
        """Called when *child* has lost its process, `child.last_ref`, to `child.last_reason`."""

    # -- life ----------------------------------------------------------------------------------

    async def on_start(self) -> None:
        plan: Any = self.init()
        if inspect.isawaitable(plan):
            plan = await plan
        if plan is None:
            raise Ignore
        if not isinstance(plan, tuple) or len(cast("tuple[Any, ...]", plan)) != 2:
            raise ActorExit(BadReturn(plan))
        given_flags, given_specs = cast("tuple[Any, Any]", plan)
        flags = check_flags(given_flags)
        if isinstance(flags, FlagError):
            raise ActorExit(SupervisorData(flags))
        self.flags = flags
        self.window = RestartWindow(flags.intensity, flags.period_s)
        simple = flags.strategy is SupervisionStrategy.SIMPLE_ONE_FOR_ONE
        if simple and (not isinstance(given_specs, list | tuple) or _length(given_specs) != 1):
            raise ActorExit(BadStartSpec(given_specs))
        specs = check_child_specs(given_specs, flags.auto_shutdown)
        if isinstance(specs, SpecError):
            raise ActorExit(StartSpec(specs))
        if simple:
            self._children = DynamicChildren(self, specs[0])
            return
        children = self._children = KeyedChildren(self)
        failed = await children.start_all(specs)
        if failed is not None:
            await children.stop_all()
            raise ActorExit((SHUTDOWN, failed))

    def on_receive(self, message: Any) -> Any:
        handler = self._handlers.get(message.__class__)
        if handler is None:
            return self._unknown(message)
        return handler(self, message)

    def _unknown(self, message: Any) -> None:
        if self.current_request is not None:
            raise UnknownRequest(self.actor_ref, message)
        logger.error(
            "{supervisor} ignores an unexpected message: {unexpected!r}",
            supervisor=self.actor_ref.label,
            unexpected=message,
        )

    async def _end(self, reason: Any) -> None:
        """Stop all children and end.

        Done in a handler rather than in `on_stop`, because a supervisor that is stopping is still
        alive: it takes requests (which fail when it is gone) and must read its exit signals.
        """
        await self._children.stop_all()
        # What we sent ourselves concerns nobody any more, and is no dead letter.
        self.flush(lambda message: isinstance(message, TryAgain | BackoffOver))
        raise ActorExit(reason)

    async def on_stop(self) -> None:
        # A killed supervisor does nothing any more; its links take the children down. Otherwise
        # `_end` has mostly been here before, and there are no children left.
        if self.exit_reason != KILLED:
            await self._children.stop_all()

    async def on_failure(self, *_exc_info: Any) -> None:
        # A supervisor that fails itself must not leave its subtree behind either.
        await self._children.stop_all()

    # -- requests ------------------------------------------------------------------------------

    def _on_start_child(self, request: StartChild) -> Coroutine[Any, Any, StartChildResult]:
        return self._children.start_child(request.spec)

    def _on_terminate_child(self, request: TerminateChild) -> Coroutine[Any, Any, DoneResult]:
        return self._children.terminate_child(request.id)

    def _on_restart_child(self, request: RestartChild) -> Coroutine[Any, Any, RestartChildResult]:
        return self._children.restart_child(request.id)

    def _on_delete_child(self, request: DeleteChild) -> DoneResult:
        return self._children.delete_child(request.id)

    def _on_get_childspec(self, request: GetChildSpec) -> ChildSpecResult:
        return self._children.get_childspec(request.id)

    def _on_which_children(self, _request: WhichChildren) -> list[ChildInfo]:
        return self._children.which_children()

    def _on_which_child(self, request: WhichChild) -> Ok[ChildInfo] | Error[ChildProblem]:
        return self._children.which_child(request.id)

    def _on_count_children(self, _request: CountChildren) -> Counts:
        return self._children.count_children()

    # -- failures ------------------------------------------------------------------------------

    def _on_exit(self, message: Exit) -> Coroutine[Any, Any, None] | None:
        ref = message.ref
        if ref is None:
            return None
        child = self._children.by_ref.pop(ref, None)
        if child is None:
            return self._end(message.reason) if ref is self.parent else None
        self._lost_process(child, message.reason)
        return self._child_exited(child, message.reason)

    def _lost_process(self, child: Child, reason: Any) -> None:
        child.last_ref = child.ref
        child.ref = None
        child.last_reason = reason
        self.child_ended(child)

    async def _child_exited(self, child: Child, reason: Any) -> None:
        restart = child.spec.restart
        if restart is RestartType.PERMANENT or (
            restart is RestartType.TRANSIENT and not is_normal(reason)
        ):
            self.report(ReportKind.CHILD_TERMINATED, child, reason, "it is to be restarted")
            if await self.consult(child):
                await self.restart(child)
            return
        if restart is RestartType.TEMPORARY and not is_normal(reason):
            self.report(ReportKind.CHILD_TERMINATED, child, reason, "it is not restarted")
        await self.stay_down(child)

    async def stay_down(self, child: Child) -> None:
        """Note that *child* ended and is not restarted; that may end the supervisor too."""
        self._children.forget(child)
        automatic = self.flags.auto_shutdown
        if automatic is AutoShutdown.NEVER or not child.spec.significant:
            return
        if automatic is AutoShutdown.ANY_SIGNIFICANT or not self._children.any_significant():
            await self._end(SHUTDOWN)

    def _on_try_again(self, message: TryAgain) -> Coroutine[Any, Any, None] | None:
        child = self._children.waiting(message)
        return None if child is None else self._try_again(child)

    async def _try_again(self, child: Child) -> None:
        if await self.consult(child):
            await self.restart(child)

    async def restart(self, child: Child) -> None:
        """Restart *child* if the limit allows it, after its backoff if it has one."""
        now = self.system.clock()
        window = child.window or self.window
        if not window.admit(now, child.spec.id, cause_token(child.last_reason)):
            await self.limit_reached(child)
            return
        if now - child.started_at > window.period_s:
            child.row = 0
        earlier = child.row
        child.row += 1
        child.restarts += 1
        backoff = child.spec.backoff
        if backoff.initial_delay_s > 0:
            chance = self.system.random.random() if backoff.jitter else 0.0
            await self._children.hold(child)
            child.timer = self.send_after(backoff.delay_s(earlier, chance), BackoffOver(child))
        else:
            await self._children.restart(child)

    def _on_backoff_over(self, message: BackoffOver) -> Coroutine[Any, Any, None] | None:
        child = message.child
        # It may have been stopped, or started by hand, while this message was under way.
        if not child.restarting or child.timer is None:
            return None
        child.timer = None
        return self._children.restart(child)

    def try_again(self, message: TryAgain) -> None:
        """Have the restart tried again, after whatever waits in the mailbox now."""
        self.actor_ref.tell(message)

    # -- one child's process -------------------------------------------------------------------

    async def start_process(self, child: Child) -> StartError | None:
        """Run the start function of *child*: set `child.ref` and `child.info`, or return why not.

        A success with `child.ref` None means that the child declined to start.
        """
        spec = child.spec
        ref: Any = None
        child.info = None
        try:
            if child.actor_class is not None:
                ref = await self.start_link(
                    child.actor_class, *child.args, timeout=spec.start_timeout_s
                )
            else:
                ref = await self._call_start_function(child)
        except StartFailed as error:
            return StartError(error.reason)
        except Exception as error:
            return StartError(StartCrashed(error))
        if ref is not None:
            if ref.__class__ is Started:
                child.info = ref.info
                ref = ref.ref
            elif not isinstance(ref, pykka.ActorRef):
                return ref if isinstance(ref, StartError) else StartError(BadStartReturn(ref))
            child.ref = ref
            child.started_at = self.system.clock()
            self._children.by_ref[ref] = child
            self.child_started(child)
        return None

    async def _call_start_function(self, child: Child) -> Any:
        limit_s = child.spec.start_timeout_s
        started: Any = child.spec.start(self, *child.args)
        if not inspect.isawaitable(started):
            return started
        if limit_s is None:
            return await started
        scope = time_limit(limit_s)
        try:
            async with scope:
                return await started
        except TimeoutError:
            if scope.expired():
                return StartError(START_TIMEOUT)
            raise

    async def stop_process(self, child: Child) -> None:
        """Stop the process of *child*, if it has one, as its specification says."""
        ref = child.ref
        if ref is not None:
            child.stopping = True
            was_alive = ref.is_alive()
            reason = await self._shut_down(ref, child.spec.shutdown_ms)
            self._stopped(child, ref, reason, was_alive)
            if not is_expected(child.last_reason, child.spec):
                self.report(ReportKind.SHUTDOWN_ERROR, child, child.last_reason, "it is stopped")
        child.stopped()

    async def _shut_down(self, ref: ActorRef[Any], shutdown_ms: Shutdown | None) -> Any:
        """End *ref* and return its exit reason; ``noproc`` if it was dead when we looked."""
        if shutdown_ms == BRUTAL_KILL:
            ref.kill()
            return await self.wait_down(ref)
        ref.exit(SHUTDOWN)
        limit_s = shutdown_ms / 1000 if isinstance(shutdown_ms, int) else None
        try:
            return await self.wait_down(ref, limit_s)
        except TimeoutError:
            ref.kill()
            return await self.wait_down(ref)

    async def stop_processes(self, children: Sequence[Child]) -> list[Child]:
        """Stop all of *children* at the same time; return those that ended unexpectedly."""
        clock = self.system.clock
        begun = clock()
        waiting: list[tuple[float, Child, bool]] = []
        for child in children:
            ref = child.ref
            if ref is None:
                continue
            child.stopping = True
            shutdown_ms = child.spec.shutdown_ms
            waiting.append((_deadline(begun, shutdown_ms), child, ref.is_alive()))
            if shutdown_ms == BRUTAL_KILL:
                ref.kill()
            else:
                ref.exit(SHUTDOWN)
        # The earliest deadline first: so nobody's deadline passes while another is waited for.
        waiting.sort(key=lambda entry: entry[0])
        unexpected: list[Child] = []
        for index, (deadline, child, was_alive) in enumerate(waiting):
            ref = child.ref
            assert ref is not None
            limit_s = None if deadline == math.inf else max(deadline - clock(), 0.0)
            try:
                reason = await self.wait_down(ref, limit_s)
            except TimeoutError:
                for other_deadline, other, _ in waiting[index:]:
                    if other_deadline <= clock() and other.ref is not None:
                        other.ref.kill()
                reason = await self.wait_down(ref)
            self._stopped(child, ref, reason, was_alive)
            child.stopped()
            if not is_expected(child.last_reason, child.spec):
                unexpected.append(child)
        return unexpected

    def _stopped(self, child: Child, ref: ActorRef[Any], reason: Any, was_alive: bool) -> None:
        if reason == NOPROC:
            reason = ref.exit_reason if was_alive else self._unread_reason(ref)
        child.stopping = False
        self._children.by_ref.pop(ref, None)
        self._lost_process(child, reason)

    def _unread_reason(self, ref: ActorRef[Any]) -> Any:
        """Return why *ref*, which was dead already, ended: from its exit signal in our mailbox.

        ``noproc`` if there is none: the child had unlinked itself. The mailbox is gone through once
        for all children that are being stopped, since after a common failure there may be
        thousands of them and thousands of signals.
        """
        if self.exit_reason is not None:
            # In `on_stop`: the mailbox is closed.
            return ref.exit_reason
        unread = self._unread
        if ref not in unread:
            by_ref = self._children.by_ref

            def is_ours(message: Any) -> bool:
                if message.__class__ is not Exit:
                    return False
                child = by_ref.get(message.ref)
                return child is not None and child.stopping

            for message in self.flush(is_ours):
                unread[message.ref] = message.reason
        return unread.pop(ref, NOPROC)

    # -- reports -------------------------------------------------------------------------------

    def report(
        self, kind: ReportKind, child: Child, reason: Any, next: str, *, children: int = 1  # noqa: A002
    ) -> None:
        """Publish and log what happened to *child*, and what is done about it."""
        window = child.window or self.window
        spec = child.spec
        publish(
            self.system,
            SupervisorReport(
                kind,
                self.actor_ref,
                spec.id,
                spec.type,
                child.ref or child.last_ref,
                reason,
                child.restarts,
                window.count(self.system.clock()),
                window.intensity,
                window.period_s,
                next,
                children,
            ),
        )


Supervisor._bind_handlers()


def is_expected(reason: Any, spec: ChildSpec) -> bool:
    """Tell whether a child that its supervisor stopped ended as it should.

    ``shutdown`` (``killed`` where the child is killed at once) is always right. An orderly end of
    its own is right for a child that would not have been restarted after it.
    """
    if reason == (KILLED if spec.shutdown_ms == BRUTAL_KILL else SHUTDOWN):
        return True
    return spec.restart is not RestartType.PERMANENT and is_normal(reason)


def _deadline(begun: float, shutdown_ms: Shutdown | None) -> float:
    return begun + shutdown_ms / 1000 if isinstance(shutdown_ms, int) else math.inf


def _length(value: object) -> int:
    return len(cast("Sequence[Any]", value))
