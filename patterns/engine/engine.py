"""`OrchestrationEngine`: runs workflows over agents, teams and patterns, and keeps what they did."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping, Sequence
from contextvars import Context, copy_context
from typing import Any, Literal, Self

from agenticaiframework.actors import agent_context

from ..definition.errors import DefinitionError
from ..definition.fields import read_target
from ..vocabulary.target import Askable
from .definition.config import EngineConfig
from .definition.routing import Routing
from .definition.workflow import WorkflowDefinition, make_workflow
from .errors import WorkflowFailed, WorkflowTimedOut
from .host.control import RunControl
from .host.core import EngineCore
from .host.cores import Cores
from .host.launching import CANCEL_GRACE_S, attend, follow, launch_now, make_run, start
from .host.messages import Retire, StartRun, StopEngine
from .host.tracing import Span
from .state.cancellation import Cancellation
from .state.listing import list_runs, read_states
from .state.live import LiveRun
from .state.status import CancelReport, RecoveryReport, WorkflowPage, WorkflowStatus
from .state.stream import WorkflowStream
from .store import RunFilter

Workflow = WorkflowDefinition | Mapping[str, Any] | str
"""What may be given as a workflow: a definition, one as a mapping, or a registered one's name."""

Changed = Literal["old", "new", "fail"]


class OrchestrationEngine:
    """Runs workflows, patterns and routed inputs.

    ::

        engine = OrchestrationEngine(EngineConfig(default_timeout_seconds=60))
        engine.register_agent("classifier", classifier)
        result = await engine.execute(workflow=workflow, input_data={"message": "hello"})
        result["classify"]

    Making one needs no event loop and starts nothing. Its actor is started in the current actor
    system when first needed, and ends with it, or with `stop`. Every run is an actor of its own;
    runs share nothing. The methods belong to the loop of that system.
    """

    def __init__(self, config: EngineConfig | None = None, *, name: str = "engine") -> None:
        self._cores = Cores(name, config or EngineConfig())
        self._setup = self._cores.setup
        self._control = RunControl(self._cores)
        # When the engine is dropped its workflows end, and then nothing of it stays.
        finalizer = weakref.finalize(self, _retire, weakref.ref(self._cores))
        finalizer.atexit = False

    def __repr__(self) -> str:
        return f"<OrchestrationEngine {self.name!r}>"

    @property
    def name(self) -> str:
        """Its name, in logs and in the store."""
        return self._setup.name

    @property
    def config(self) -> EngineConfig:
        """How it is set up."""
        return self._setup.config

    # -- registering -------------------------------------------------------------------------------

    def register_agent(self, name: str, agent: Any, *, max_concurrent: int | None = None) -> None:
        """Let *name* stand for *agent* (an agent, or a function of the payload) in workflows.

        A name that is registered already gets the new meaning. *max_concurrent* is how many steps
        may ask it at the same time, over all workflows.
        """
        target = _checked(name, agent, "agent")
        if max_concurrent is not None:
            if max_concurrent < 1:
                raise ValueError(
                    f"max_concurrent={max_concurrent}: at least 1, or None for no limit"
                )
            self._setup.limit(name, target, max_concurrent)
            self._cores.limits_changed()
        self._setup.directory.enter("agent", name, self._setup.resolve(target))

    def register_team(self, name: str, team: Any) -> None:
        """Let *name* stand for *team* in workflows."""
        self._setup.directory.enter("team", name, _checked(name, team, "team"))

    def register_pattern(self, name: str, pattern: Any) -> None:
        """Let *name* stand for *pattern* in workflows, routing rules and `execute`.

        The pattern looks its own agents up in this engine first from now on.
        """
        checked = _checked(name, pattern, "pattern")
        if getattr(checked, "resolver", self) is None:
            checked.resolver = self._setup.names
        self._setup.directory.enter("pattern", name, self._setup.resolve(checked))

    def register_supervisor(self, name: str, supervisor: Any) -> None:
        """Let steps ask the children of *supervisor* by their names under it.

        An agent that crashes in a step is restarted by its supervisor.
        """
        checked = _checked(name, supervisor, "supervisor")
        self._setup.directory.enter("supervisor", name, checked)

    def register_workflow(self, name: str, workflow: Workflow) -> WorkflowDefinition:
        """Let *name* stand for *workflow*, and return its checked definition.

        It is what stored runs of that name are compared with when they go on.
        """
        if isinstance(workflow, str):
            workflow = self._setup.directory.workflow(workflow)
        definition = make_workflow(workflow)
        self._setup.directory.enter("workflow", name, definition)
        return definition

    def configure_routing(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Let `execute` without a workflow run what the first rule says whose condition holds.

        A rule has a ``condition`` over ``input`` (``"default"`` always holds) and what a workflow's
        step has: a ``pattern`` kind with ``agents`` (and ``root``), a registered pattern, an
        ``agent``, a ``team``, a ``workflow``. Raises `DefinitionError`.
        """
        self._setup.routing = Routing(rules)

    def workflow(self, name: str) -> Askable:
        """Return a registered workflow as something that can be asked, wherever an agent can."""
        return self._cores.nest(self._setup.directory.workflow(name).plan)

    def check(self, workflow: Workflow) -> WorkflowDefinition:
        """Return *workflow* as a definition whose names are all known here.

        Raises `DefinitionError` and `UnknownName`; nothing runs. What it promises to run at once and
        its agents cannot keep is logged, and returned by `unkept`.
        """
        definition = self._setup.definition_of(workflow)
        plan = definition.plan
        told_before = plan.told
        names = self._setup.names_of(plan)
        bound = self._setup.bind(plan, names)
        if told_before:
            self._setup.tell_unkept(plan, bound, names)
        return definition

    def unkept(self, workflow: Workflow) -> list[str]:
        """Return what *workflow* promises to run at once and its agents cannot keep, a sentence each.

        Such work is not refused; what exceeds its agent's concurrency waits for its turn.
        """
        plan = self._setup.definition_of(workflow).plan
        names = self._setup.names_of(plan)
        return self._setup.unkept(plan, self._setup.bind(plan, names), names)

    # -- running -----------------------------------------------------------------------------------

    async def execute(
        self,
        workflow: Workflow | None = None,
        input_data: Any = None,
        *,
        pattern: Any = None,
        persist_state: bool | None = None,
        timeout: float | None = None,
        workflow_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a workflow, a pattern, or what the routing picks, and return the result.

        A workflow's result is a mapping from step id to output (`WorkflowResult`). Raises
        `WorkflowFailed` with the step's error as its cause, `WorkflowCancelled`, and before anything
        runs `DefinitionError`, `UnknownName`, `InputMismatch`, `NoRouteMatches`. After *timeout*
        seconds the run is cancelled and `WorkflowTimedOut` raised. Cancelling the awaiting task
        cancels the run and what it does. Its steps see the caller's context variables, and find
        *context* in `agent_context()`, which is stored with the run, if that is.
        """
        core, live = await self._make(
            workflow, input_data, pattern, persist_state, workflow_id, labels, context
        )
        request = follow(core, live)
        # A run that a handler waits for must not wait for the handler's own to give it its turn.
        around = core.roster.get(agent_context().get("workflow_id", ""))
        launch_now(core, StartRun(live, part=around is not None and not around.over))
        if timeout is None:
            return await attend(core, live, request)
        try:
            async with asyncio.timeout(timeout):
                return await attend(core, live, request)
        except TimeoutError as error:
            if isinstance(error, WorkflowFailed):
                raise
            limit = TimeoutError(f"it took longer than timeout={timeout:g} s")
            raise WorkflowTimedOut(live.run.plan.name, live.id, "", "", limit) from None

    async def start_workflow(
        self,
        workflow: Workflow | None = None,
        input_data: Any = None,
        *,
        pattern: Any = None,
        persist_state: bool | None = None,
        workflow_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> str:
        """Start a run in the background and return its id, once it is taken in (and stored).

        With *persist_state* every step's beginning and end is written to the store, so that the run
        survives this process. *workflow_id* makes starting it twice an error (`WorkflowExists`).
        Its steps see the caller's context variables as long as the run is in this process, and find
        *context* in `agent_context()`: what a stored run is given has to have a JSON form.
        """
        core, live = await self._make(
            workflow, input_data, pattern, persist_state, workflow_id, labels, context
        )
        await start(core, StartRun(live))
        return live.id

    async def _make(
        self,
        workflow: Workflow | None,
        input_data: Any,
        pattern: Any,
        persist_state: bool | None,
        workflow_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        context: Mapping[str, Any] | None = None,
        caller: Context | None = None,
    ) -> tuple[EngineCore, LiveRun]:
        """Return a run that has not begun, and the actor that is to take it in."""
        config = self._setup.config
        plan = self._setup.plan_of(workflow, pattern, input_data)
        core = self._cores.here()
        persist = config.persist_state if persist_state is None else persist_state
        if persist or config.recover_on_start:
            await self._cores.ready(core)
        return core, make_run(
            core,
            plan,
            input_data,
            run_id=workflow_id,
            persist=persist,
            labels=labels,
            context=context,
            caller=caller,
        )

    async def wait(self, workflow_id: str, timeout: float | None = None) -> Any:
        """Return the result of a run, when it has ended; raises as `execute` does.

        After *timeout* seconds a TimeoutError is raised; the run goes on. A stored run of another
        engine can be waited for as well.
        """
        async with asyncio.timeout(timeout):
            return await self._control.wait(workflow_id)

    # -- looking -----------------------------------------------------------------------------------

    async def get_workflow_status(self, workflow_id: str) -> WorkflowStatus:
        """Return where a run stands: state, steps, progress, attempts, times, the last error.

        Raises `UnknownWorkflow`.
        """
        return (await self._control.find(workflow_id)).status()

    async def list_workflows(
        self,
        *,
        state: str | Sequence[str] | None = None,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        limit: int = 100,
        page: str | None = None,
        persisted: bool | None = None,
    ) -> WorkflowPage:
        """Return runs, the newest first: those in memory, and those in the store if it is in use.

        *persisted* True lists the store alone (and opens it), False the memory alone.
        """
        where = RunFilter(states=read_states(state), name=name, labels=dict(labels or {}))
        core = self._cores.here()
        keeper = await self._cores.ready(core) if persisted else core.gate.keeper
        store = None if keeper is None or persisted is False else keeper.store
        return await list_runs(core.roster, store, where, limit, page, persisted)

    def trace(self, workflow_id: str | None = None) -> list[Span]:
        """Return the recorded spans, of one run or of all, in the order in which they began.

        Empty unless the engine was set up with ``enable_tracing=True``.
        """
        core = self._cores.here_or_none() or self._cores.last
        if core is None or core.tracer is None:
            return []
        return list(core.tracer.spans(workflow_id))

    def stream(
        self,
        workflow_id: str | None = None,
        *,
        workflow: Workflow | None = None,
        input_data: Any = None,
        pattern: Any = None,
        persist_state: bool | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> WorkflowStream:
        """Return the events of a run, for ``async for``: from its beginning, and while it runs.

        Of a run that is *workflow_id*, in memory or in the store; or of one that is started with
        *workflow* and *input_data* when the first event is asked for; its steps see the context
        variables of who called this.
        """
        caller = copy_context()

        async def begin(stream: WorkflowStream) -> None:
            if workflow_id is not None:
                await self._control.attach(stream, workflow_id)
                return
            core, live = await self._make(
                workflow, input_data, pattern, persist_state, context=context, caller=caller
            )
            stream.attach(live)
            # Until it is taken in: a run that is refused would be followed for ever.
            await start(core, StartRun(live))

        return WorkflowStream(begin)

    # -- steering ----------------------------------------------------------------------------------

    async def cancel_workflow(
        self,
        workflow_id: str,
        reason: str = "cancelled",
        *,
        graceful: bool = False,
        compensate: bool = True,
    ) -> CancelReport:
        """Cancel a run, and return what that did once it has ended.

        The running steps are stopped (with *graceful* they may finish first), later ones never run,
        waiting and sleeping ones are woken to end, and compensations of finished steps run, the
        latest first, unless *compensate* is False. The cancellation of a stored run is stored before
        anything else, so that it survives a crash. A run that has ended stays as it is. Raises
        `UnknownWorkflow`.
        """
        cancellation = Cancellation(reason, graceful=graceful, compensate=compensate)
        return await self._control.cancel(workflow_id, cancellation)

    async def resume_workflow(
        self,
        workflow_id: str,
        *,
        definition: Changed | None = None,
        workflow: Workflow | None = None,
    ) -> WorkflowStatus:
        """Let a run that failed, or was cut off, go on in the background; return its status.

        It goes on at the step that failed or was under way; finished steps never run again. A run
        that runs, or has been completed or cancelled, is left as it is. If the definition that its
        name stands for now (or *workflow*) is another than it was started with, *definition* says
        whether to go on with the ``old`` or the ``new`` one; the default is the configuration's
        ``changed_definition``. Raises `UnknownWorkflow`, `DefinitionChanged`.
        """
        newest = self._definition_of(workflow)
        return (await self._control.resume(workflow_id, definition, newest)).status()

    async def retry_from(
        self,
        workflow_id: str,
        step: str,
        *,
        definition: Changed | None = None,
        workflow: Workflow | None = None,
    ) -> WorkflowStatus:
        """Run *step*, and every step that depends on it, again; return the run's status.

        The outcomes of the other steps are kept, and the run goes on in the background, whether it
        had been completed, failed or cancelled. Raises `UnknownWorkflow`, `RunHeld`, and ValueError
        for a step that the workflow does not have or a run that still runs.
        """
        newest = self._definition_of(workflow)
        return (await self._control.retry_from(workflow_id, step, definition, newest)).status()

    def _definition_of(self, workflow: Workflow | None) -> WorkflowDefinition | None:
        return None if workflow is None else self._setup.definition_of(workflow)

    async def signal_workflow(self, workflow_id: str, signal: str, payload: Any = None) -> None:
        """Send a run the signal that a ``wait_for`` step waits for, now or later.

        It is kept until a step takes it; for a stored run it is stored before this returns. Raises
        `UnknownWorkflow`, and ValueError for a run that has ended.
        """
        await self._control.signal(workflow_id, signal, payload)

    async def recover(self) -> RecoveryReport:
        """Take over the stored runs that no living engine holds, and let them go on.

        Returns which went on, which were left because their definition has changed, and which could
        not go on. Those of an engine that was killed on this machine are free at once, those of one
        that vanished elsewhere after ``lease_seconds``.
        """
        keeper = await self._cores.keeper(self._cores.here())
        keeper.recovered = True
        return await keeper.recovery.recover()

    # -- its end -------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End the engine in the current system: runs are interrupted, the store is closed.

        Stored runs go on with the next `recover`, here or elsewhere. An engine that was stopped stays
        so; again: harmless.
        """
        self._setup.stopped = True
        core = self._cores.here_or_none()
        if core is not None and core.actor_ref.is_alive():
            core.tell(StopEngine())
            await core.home.wait_ended(core.actor_ref, CANCEL_GRACE_S)

    async def __aenter__(self) -> Self:
        if self.config.recover_on_start:
            await self._cores.ready(self._cores.here())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()


def _checked(name: str, value: Any, kind: str) -> Any:
    a = "an" if kind == "agent" else "a"
    if not isinstance(name, str) or not name.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"the name of {a} {kind} is a non-empty text, not {name!r}")
    wrong = f"register_{kind}({name!r}, ...) needs the {kind} itself, not {value!r}"
    if value is None or isinstance(value, (str, type)):
        raise TypeError(wrong)
    if kind == "supervisor":
        if not hasattr(value, "children"):
            raise TypeError(wrong)
        return value
    if isinstance(value, WorkflowDefinition):
        return value
    try:
        return read_target(value)
    except DefinitionError:
        raise
    except ValueError as error:
        raise TypeError(f"{wrong}: {error}") from None


def _retire(cores_ref: weakref.ref[Cores]) -> None:
    """Nothing holds the engine any more: let its actors end when their workflows have."""
    cores = cores_ref()
    # Weakly: they reach their setup and, through a workflow's code, perhaps the engine.
    for core in cores.alive() if cores is not None else ():
        core.tell(Retire())


__all__ = ["OrchestrationEngine", "Workflow"]
