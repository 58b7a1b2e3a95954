"""The actor behind an `AgentSupervisor`: OTP's supervisor with failure handlers and named children."""

from __future__ import annotations

import inspect
from asyncio import timeout as time_limit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, cast

from agenticaiframework.actors import ActorDied, ActorRef, Down, FunctionActor, is_a

from ..machine.child import Child, Decision
from ..machine.cooling import CoolingSupervisor
from ..machine.keyed_children import KeyedChildren
from ..machine.messages import Verdict
from ..machine.reports import ReportKind
from ..machine.requests import DeleteChild, TerminateChild
from ..machine.results import DoneResult
from ..machine.starting import start_process
from ..machine.supervisor import Supervisor, end_of
from ..policy.child_spec import ChildSpec
from ..policy.flags import SupervisorFlags
from ..vocabulary.errors import ChildExited
from ..vocabulary.kinds import ChildState, Exhausted, RestartType, SupervisionStrategy
from ..vocabulary.reasons import REACHED_MAX_RESTART_INTENSITY, StartCrashed
from .supervised_child import SupervisedChild


class NamedPlan(Protocol):
    """What the actor asks of the `AgentSupervisor` whose incarnation it is."""

    name: str
    flags: SupervisorFlags
    children: dict[str, SupervisedChild]
    handler_timeout_s: float
    told_to_stop: bool
    exhausted: Exhausted | None

    failure_handler: Callable[..., Any] | None
    max_restarts_handler: Callable[..., Any] | None

    def begin(self, actor: AgentSupervisorActor) -> list[SupervisedChild]:
        """Let *actor* be the incarnation that runs; return the children that it has to start."""
        ...

    def temporary_ended(self, child: SupervisedChild) -> None:
        """Note that a temporary child has ended for good."""
        ...

    def forget(self, name: str) -> None:
        """Forget the child *name*."""
        ...

    def ended_for_good(self, reason: Any, *, orderly: bool = False) -> None:
        """Note that no further incarnation comes unless it is started again."""
        ...


@dataclass(frozen=True, slots=True)
class AddChild:
    """Start a child that has been added while its supervisor runs."""

    child: SupervisedChild


@dataclass(frozen=True, slots=True)
class RemoveChild:
    """Stop and forget a named child."""

    child: SupervisedChild


class AgentSupervisorActor(CoolingSupervisor):
    """One incarnation of an `AgentSupervisor`."""

    _requests: ClassVar[Mapping[type, str]] = {
        **CoolingSupervisor._requests,
        AddChild: "_on_add_child",
        RemoveChild: "_on_remove_child",
        Verdict: "_on_verdict",
        Down: "_on_handler_down",
    }

    def __init__(self, blueprint: NamedPlan) -> None:
        super().__init__()
        self.blueprint = self.advised = blueprint
        self.named: dict[Any, SupervisedChild] = {}
        """The children that this incarnation has taken over; their records say how they are."""
        self._thinking: dict[ActorRef[Any], Decision] = {}
        """What failure handlers are deciding, by the actor that runs the handler."""

    def init(self) -> Any:
        blueprint = self.blueprint
        children = blueprint.begin(self)
        for child in children:
            self.named[child.name] = child
            child.held_by(self.actor_ref, before=self.parent)
            child.new_record()
        flags = blueprint.flags
        if flags.strategy is SupervisionStrategy.SIMPLE_ONE_FOR_ONE:
            # Named children that come and go, each on its own: only their end is a common one.
            self.stops_together = True
            flags = replace(flags, strategy=SupervisionStrategy.ONE_FOR_ONE)
        return flags, [child.spec for child in children]

    def new_record(self, spec: ChildSpec) -> Child:
        record = self.named[spec.id].record
        assert record is not None
        return record

    @property
    def strategy_name(self) -> str:
        return self.blueprint.flags.strategy.value

    # -- its own start and end -----------------------------------------------------------------

    def start_is_over(self, error: BaseException) -> None:
        """Close what no incarnation comes for; `AgentSupervisor.start` tells its caller why."""
        self._over(end_of(error))

    def start_failed(self, specs: Sequence[ChildSpec]) -> None:
        """Nothing beside what `on_start` does: a parent that starts us again may keep what waits."""

    def over(self) -> None:
        self._over(self.exit_reason)
        self.tell_program()

    def _over(self, reason: Any) -> None:
        for child in list(self.named.values()):
            if self.blueprint.children.get(child.name) is not child:
                # Its removal was requested, and that request is not going to be handled any more.
                child.removed()
                del self.named[child.name]
        parent = self.parent
        if (
            parent is None
            or not parent.is_alive()
            or not issubclass(parent.actor_class, Supervisor)
        ):
            # No further incarnation of us comes, and so none of our children.
            self.blueprint.ended_for_good(reason, orderly=self.blueprint.told_to_stop)
            return
        # Our parent decides whether there will be another incarnation of us, and so of them.
        for child in self.named.values():
            child.held_by(parent, before=self.actor_ref)
            child.rests_no_more()

    # -- failure handlers ----------------------------------------------------------------------

    async def consult(self, child: Child) -> bool:
        handler = self.blueprint.failure_handler
        if handler is None:
            return True
        name = str(child.spec.id)
        decision = Decision(child)
        child.timer = decision
        child.restarting = True
        _moved(child)
        error = _as_exception(name, child.last_reason)
        # An actor of its own, because the handler may take its time, and may ask us to add and remove
        # children; not linked, because the handler may also stop us.
        runner = self.spawn(
            FunctionActor,
            self._let_decide,
            (decision, handler, (name, error, child.restarts)),
            at_once=True,
            name=f"{self.blueprint.name}: on_failure({name})",
            link=False,
            monitor=True,
        )
        self._thinking[runner] = decision
        return False

    async def _let_decide(
        self, decision: Decision, handler: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        answer, error = await self._call_handler(handler, args)
        try:
            self.actor_ref.tell(Verdict(decision, answer is not False, error))
        except ActorDied:
            pass  # The supervisor has been stopped meanwhile, perhaps by the handler.

    async def _call_handler(
        self, handler: Callable[..., Any], args: tuple[Any, ...]
    ) -> tuple[Any, Exception | None]:
        """Return the handler's answer, or what went wrong with it."""
        try:
            async with time_limit(self.blueprint.handler_timeout_s):
                answer = handler(*args)
                return (await answer if inspect.isawaitable(answer) else answer), None
        except Exception as error:
            return None, error

    async def _on_verdict(self, verdict: Verdict) -> None:
        child = verdict.decision.child
        if verdict.error is not None:
            self.report(
                ReportKind.HANDLER_FAILED, child, verdict.error, "the child is restarted regardless"
            )
        if child.timer is not verdict.decision:
            return
        child.timer = None
        if verdict.allowed:
            _moved(child)
            await self.restart(child)
        elif self.admit(child) or self.blueprint.max_restarts_handler is None:
            self.report(
                ReportKind.STOPPED_BY_HANDLER, child, child.last_reason, "it is not restarted"
            )
            await self.stay_down(child)
        else:
            # What the failure handler stops is not restarted, whatever the limit would do with it.
            self._tell_of_limit(child)
            await self._leave_down(child)

    async def _on_handler_down(self, down: Down) -> None:
        decision = self._thinking.pop(down.ref, None)
        if decision is None:
            return
        waiting: object = decision.child.timer
        if waiting is decision:
            # It was killed before it could decide.
            error = ChildExited(down.ref.label, down.reason)
            await self._on_verdict(Verdict(decision, True, error))

    async def limit_reached(self, child: Child) -> None:
        self._tell_of_limit(child)
        exhausted = self.blueprint.exhausted
        if exhausted is None and self.blueprint.max_restarts_handler is not None:
            await self._leave_down(child)
        elif exhausted is Exhausted.COOL_DOWN or (exhausted is None and self.is_root):
            await self.cool_down(child)
        else:
            await self.give_up(child, for_good=exhausted is Exhausted.STOP)

    def _tell_of_limit(self, child: Child) -> None:
        """Call the handler that was given to `on_max_restarts`, if there is one."""
        handler = self.blueprint.max_restarts_handler
        if handler is None:
            return
        self.spawn(
            FunctionActor,
            self._tell_handler,
            (child, handler),
            at_once=True,
            name=f"{self.blueprint.name}: on_max_restarts({child.spec.id})",
            link=False,
        )

    async def _leave_down(self, child: Child) -> None:
        """Keep *child*, which failed too often, down; the supervisor lives."""
        self.report(ReportKind.GAVE_UP, child, REACHED_MAX_RESTART_INTENSITY, "it stays down")
        await self.stay_down(child, ChildState.GAVE_UP)

    async def stay_down(self, child: Child, state: ChildState = ChildState.STOPPED) -> None:
        await super().stay_down(child, state)
        await self._bring_back()

    async def _bring_back(self) -> None:
        """Start those that were stopped to be restarted with a child that does not come back.

        In OTP they stay down: there only a request can end a restart. Here handlers and limits do.
        """
        strategy = self.flags.strategy
        if strategy is SupervisionStrategy.ONE_FOR_ONE:
            return
        left: list[Child] = []
        for child in self._keyed:
            if child.restarting:
                # It brings along all others, or those after it.
                if strategy is SupervisionStrategy.ONE_FOR_ALL:
                    return
                break
            if child.ref is None and child.handle is not None and child.state.is_passing:
                self.rest_over(child)
                left.append(child)
        await self.start_again(left)

    async def _tell_handler(self, child: Child, handler: Callable[..., Any]) -> None:
        _answer, error = await self._call_handler(handler, (child.spec.id,))
        if error is not None:
            self.report(ReportKind.HANDLER_FAILED, child, error, "the child stays down")

    # -- children that come and go -------------------------------------------------------------

    @property
    def _keyed(self) -> KeyedChildren:
        return cast("KeyedChildren", self.children)

    async def _on_add_child(self, request: AddChild) -> None:
        named = request.child
        child = named.record
        if child is None or named.name in self.named or child.state is ChildState.REMOVED:
            return  # `init` has taken it already, or it was removed before its turn came
        self.named[named.name] = named
        named.held_by(self.actor_ref)
        self._keyed.add(child)
        error = await start_process(self, child)
        if error is not None:
            self.report(ReportKind.START_ERROR, child, error.reason, "it stays down")
            named.closed(ChildState.FAILED, error.reason)
        elif child.ref is None and child.spec.restart is RestartType.TEMPORARY:
            self._keyed.forget(child)

    def _on_delete_child(self, request: DeleteChild) -> DoneResult:
        result = super()._on_delete_child(request)
        if result.is_ok:
            named = self.named.pop(request.id, None)
            if named is not None:
                self.blueprint.forget(named.name)
                named.removed()
        return result

    async def _on_terminate_child(self, request: TerminateChild) -> DoneResult:
        result = await super()._on_terminate_child(request)
        await self._bring_back()
        return result

    async def _on_remove_child(self, request: RemoveChild) -> None:
        named = request.child
        if self.named.get(named.name) is named:
            child = self._keyed.by_id.get(named.name)
            if child is not None:
                await self.stop_in_turn((child,))
                self._keyed.by_id.pop(named.name, None)
            del self.named[named.name]
        named.removed()
        await self._bring_back()


def _as_exception(name: str, reason: Any) -> Exception:
    """Return an exit reason as what a failure handler gets."""
    if is_a(reason, StartCrashed):
        reason = reason.error
    return reason if is_a(reason, Exception) else ChildExited(name, reason)


def _moved(child: Child) -> None:
    if child.handle is not None:
        child.handle.moved()
