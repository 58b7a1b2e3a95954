"""`OrchestrationEngine`: runs workflows over agents, teams and patterns, and keeps what they did."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from agenticaiframework.actors import ActorDied, agent_context, near

from ..definition.errors import DefinitionError
from ..definition.fields import read_target
from ..vocabulary.target import Askable
from .definition.config import EngineConfig
from .definition.routing import Routing
from .definition.workflow import WorkflowDefinition, define_workflow
from .errors import (
    NotStored,
    UnknownWorkflow,
    WorkflowFailed,
    WorkflowLost,
    WorkflowTimedOut,
)
from .host.core import EngineCore
from .host.launching import CANCEL_GRACE_S, attend, follow, launch, make_run
from .host.messages import CancelRun, Retire, SignalRun, Start
from .host.nested import NestedWorkflow
from .host.setup import Setup
from .host.tracing import Span
from .runner.messages import Cancellation
from .state.events import EventKind, WorkflowEvent
from .state.listing import list_runs, read_states
from .state.run import Run, ending_of
from .state.status import CancelReport, RecoveryReport, WorkflowPage, WorkflowState, WorkflowStatus
from .state.stream import WorkflowStream
from .store import RunFilter, RunHeld, Signal, StoreError, UnknownRun

if TYPE_CHECKING:
    from .definition.plan import Plan
    from .host.keeper import Keeper

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
        self._setup = Setup(name, config or EngineConfig())
        # Whoever drops the engine lets its workflows end, and then nothing of it stays.
        self._finalizer = weakref.finalize(self, _retire, weakref.ref(self._setup))
        self._finalizer.atexit = False
        self._recovering: asyncio.Future[RecoveryReport] | None = None

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
            self._setup.limits[name] = max_concurrent
            self._setup.limits_changed()
        self._setup.directory.agents[name] = self._setup.resolve(target)
        self._registered()

    def register_team(self, name: str, team: Any) -> None:
        """Let *name* stand for *team* in workflows."""
        self._setup.directory.teams[name] = _checked(name, team, "team")
        self._registered()

    def register_pattern(self, name: str, pattern: Any) -> None:
        """Let *name* stand for *pattern* in workflows, routing rules and `execute`.

        The pattern looks its own agents up in this engine first from now on.
        """
        checked = _checked(name, pattern, "pattern")
        if getattr(checked, "resolver", self) is None:
            checked.resolver = self._setup.resolve
        self._setup.directory.patterns[name] = self._setup.resolve(checked)
        self._registered()

    def register_supervisor(self, name: str, supervisor: Any) -> None:
        """Let steps ask the children of *supervisor* by their names under it.

        An agent that crashes in a step is restarted by its supervisor, whoever asked it.
        """
        self._setup.directory.supervisors[name] = _checked(name, supervisor, "supervisor")
        self._registered()

    def register_workflow(self, name: str, workflow: Workflow) -> WorkflowDefinition:
        """Let *name* stand for *workflow*, and return its checked definition.

        It is what stored runs of that name are compared with when they go on.
        """
        if isinstance(workflow, str):
            workflow = self._setup.directory.workflow(workflow)
        definition = define_workflow(workflow)
        self._setup.directory.workflows[name] = definition
        if definition.name != name:
            self._setup.directory.workflows.setdefault(definition.name, definition)
        self._registered()
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
        return cast(
            "Askable", NestedWorkflow(self._setup, self._setup.directory.workflow(name).plan)
        )

    def check(self, workflow: Workflow) -> WorkflowDefinition:
        """Return *workflow* as a definition whose names are all known here.

        Raises `DefinitionError` and `UnknownName`; nothing runs.
        """
        definition = self._setup.definition_of(workflow)
        self._setup.bind(definition.plan)
        return definition

    def _registered(self) -> None:
        self._setup.directory.version += 1

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
    ) -> Any:
        """Run a workflow, a pattern, or what the routing picks, and return the result.

        A workflow's result is a mapping from step id to output (`WorkflowResult`). Raises
        `WorkflowFailed` with the step's error as its cause, `WorkflowCancelled`, and before anything
        runs `DefinitionError`, `UnknownName`, `InputMismatch`, `NoRouteMatches`. After *timeout*
        seconds the run is cancelled and `WorkflowTimedOut` raised. Cancelling the awaiting task
        cancels the run and what it does.
        """
        setup = self._setup
        plan = setup.plan_of(workflow, pattern, input_data)
        core = setup.core()
        persist = setup.config.persist_state if persist_state is None else persist_state
        if persist or setup.config.recover_on_start:
            await self._ready(core)
        run = self._make(core, plan, input_data, persist, workflow_id, labels)
        request = follow(core, run)
        # A run that a handler waits for must not wait for the handler's own to give it its turn.
        around = core.runs.get(agent_context().get("workflow_id", ""))
        launch(core, Start(run, bypass=around is not None and not around.over))
        if timeout is None:
            return await attend(core, run, request)
        try:
            async with asyncio.timeout(timeout):
                return await attend(core, run, request)
        except TimeoutError as error:
            if isinstance(error, WorkflowFailed):
                raise
            limit = TimeoutError(f"it took longer than timeout={timeout:g} s")
            raise WorkflowTimedOut(plan.name, run.id, "", "", limit) from None

    async def start_workflow(
        self,
        workflow: Workflow | None = None,
        input_data: Any = None,
        *,
        pattern: Any = None,
        persist_state: bool | None = None,
        workflow_id: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> str:
        """Start a run in the background and return its id, once it is taken in (and stored).

        With *persist_state* every step's beginning and end is written to the store, so that the run
        survives this process. *workflow_id* makes starting it twice an error (`WorkflowExists`).
        """
        setup = self._setup
        plan = setup.plan_of(workflow, pattern, input_data)
        core = setup.core()
        persist = setup.config.persist_state if persist_state is None else persist_state
        if persist or setup.config.recover_on_start:
            await self._ready(core)
        run = self._make(core, plan, input_data, persist, workflow_id, labels)
        accepted = core.promise()
        launch(core, Start(run, accepted))
        await accepted
        return run.id

    def _make(
        self,
        core: EngineCore,
        plan: Plan,
        input_data: Any,
        persist: bool,
        workflow_id: str | None,
        labels: Mapping[str, str] | None,
    ) -> Run:
        run = make_run(
            self._setup, core, plan, input_data, run_id=workflow_id, persist=persist, labels=labels
        )
        if core.tracer is not None:
            from .host.otel import current_context

            run.outside = current_context()
        return run

    async def _ready(self, core: EngineCore) -> Keeper:
        """Return the way to the store; recovers first, once, if the configuration says so."""
        keeper = await self._setup.keeper(core)
        if self.config.recover_on_start and not keeper.recovered:
            keeper.recovered = True
            await keeper.recover()
        return keeper

    async def wait(self, workflow_id: str, timeout: float | None = None) -> Any:
        """Return the result of a run, when it has ended; raises as `execute` does.

        After *timeout* seconds a TimeoutError is raised; the run goes on. A stored run of another
        engine can be waited for as well.
        """
        async with asyncio.timeout(timeout):
            while True:
                core = self._setup.core()
                run = core.runs.get(workflow_id)
                state = None if run is None else run.state
                known = state is WorkflowState.COMPLETED  # its result is one, whoever has it now
                if run is not None and not known and state is not WorkflowState.INTERRUPTED:
                    known = not await self._moved_on(core, run)
                if run is not None and known:
                    try:
                        return await follow(core, run)
                    except WorkflowLost:
                        if not run.persist or self._setup.stopped or not core.home.running:
                            raise
                        continue
                run = await self._stored(core, workflow_id)
                if run.state is WorkflowState.COMPLETED:
                    return run.result
                if run.state.finished:
                    raise ending_of(run)
                await asyncio.sleep(self.config.poll_seconds)

    # -- looking -----------------------------------------------------------------------------------

    async def get_workflow_status(self, workflow_id: str) -> WorkflowStatus:
        """Return where a run stands: state, steps, progress, attempts, times, the last error.

        Raises `UnknownWorkflow`.
        """
        core = self._setup.core()
        run = core.runs.get(workflow_id)
        if run is None or run.state is WorkflowState.INTERRUPTED or await self._moved_on(core, run):
            run = await self._stored(core, workflow_id)
        return run.status()

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
        core = self._setup.core()
        keeper = core.keeper
        if persisted:
            keeper = await self._ready(core)
        store = None if keeper is None or persisted is False else keeper.store
        return await list_runs(core, store, where, limit, page, persisted)

    def trace(self, workflow_id: str | None = None) -> list[Span]:
        """Return the recorded spans, of one run or of all, in the order in which they began.

        Empty unless the engine was set up with ``enable_tracing=True``.
        """
        core = self._setup.core_or_none() or self._setup.last_core
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
    ) -> WorkflowStream:
        """Return the events of a run, for ``async for``: from its beginning, and while it runs.

        Of a run that is *workflow_id*, in memory or in the store; or of one that is started with
        *workflow* and *input_data* when the first event is asked for.
        """

        async def begin(stream: WorkflowStream) -> None:
            core = self._setup.core()
            if workflow_id is None:
                await self._begin_streamed(
                    stream, core, workflow, input_data, pattern, persist_state
                )
                return
            run = core.runs.get(workflow_id)
            if run is not None and not run.persist:
                stream.attach(run)
                return
            stream.workflow_id = workflow_id
            keeper = await self._ready(core)
            run = core.runs.get(workflow_id)
            if run is not None and not run.over:
                stream.attach(run, history=False)
                # What is on its way into the journal was not told to this stream.
                await keeper.store.flush()
            try:
                entries = await keeper.store.read_journal(workflow_id)
            except UnknownRun:
                raise UnknownWorkflow(workflow_id, core.runs) from None
            past = [
                WorkflowEvent(
                    EventKind(entry.kind), workflow_id, entry.step, entry.attempt, entry.data,
                    entry.at, entry.seq,
                )
                for entry in entries
            ]  # fmt: skip
            stream.replay(past)

        return WorkflowStream(begin)

    async def _begin_streamed(
        self,
        stream: WorkflowStream,
        core: EngineCore,
        workflow: Workflow | None,
        input_data: Any,
        pattern: Any,
        persist_state: bool | None,
    ) -> None:
        setup = self._setup
        plan = setup.plan_of(workflow, pattern, input_data)
        persist = setup.config.persist_state if persist_state is None else persist_state
        if persist:
            await self._ready(core)
        run = self._make(core, plan, input_data, persist, None, None)
        stream.attach(run)
        accepted = core.promise()
        launch(core, Start(run, accepted))
        await accepted  # or it would be followed for ever, if it is refused

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
        core = self._setup.core()
        run = core.runs.get(workflow_id)
        cancellation = Cancellation(reason, graceful=graceful, compensate=compensate)
        if run is None or run.state is WorkflowState.INTERRUPTED or await self._moved_on(core, run):
            return await self._cancel_stored(core, workflow_id, cancellation)
        if run.persist and not run.over and core.keeper is not None:
            try:
                await core.keeper.store.request_cancel(workflow_id, reason)
            except UnknownRun:
                pass  # it is only about to be stored, and is cancelled all the same
        return await self._cancel_here(core, workflow_id, cancellation)

    async def _cancel_here(
        self, core: EngineCore, workflow_id: str, cancellation: Cancellation
    ) -> CancelReport:
        done = core.promise()
        cancellation.requests.append(done)
        launch(core, CancelRun(workflow_id, cancellation))
        report: CancelReport = await done
        return report

    async def _cancel_stored(
        self, core: EngineCore, workflow_id: str, cancellation: Cancellation
    ) -> CancelReport:
        """Cancel a run that is not in memory: take it over, or leave it to the engine that has it."""
        keeper = await self._open(core, workflow_id)
        try:
            open_ = await keeper.store.request_cancel(workflow_id, cancellation.reason)
        except UnknownRun:
            raise UnknownWorkflow(workflow_id, core.runs) from None
        if not open_:
            row = await keeper.store.load_run(workflow_id)
            return CancelReport(
                workflow_id, WorkflowState(row.state), cancellation.reason, already_finished=True
            )
        try:
            await keeper.claim(workflow_id, "old", ())
        except RunHeld:
            run = await self._until_finished(core, workflow_id)
            return CancelReport(
                workflow_id, run.state, cancellation.reason, compensated_steps=run.compensated
            )
        return await self._cancel_here(core, workflow_id, cancellation)

    async def _until_finished(self, core: EngineCore, workflow_id: str) -> Run:
        """Wait until another engine has carried out what was asked of it."""
        while True:
            run = await self._stored(core, workflow_id)
            if run.state.finished:
                return run
            await asyncio.sleep(self.config.poll_seconds)

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
        core = self._setup.core()
        newest = None if workflow is None else self._setup.definition_of(workflow)
        opening = ((EventKind.WORKFLOW_RESUMED, None),)
        run = core.runs.get(workflow_id)
        if run is not None and not run.persist:
            if run.state is WorkflowState.FAILED and run.over:
                await self._again(core, run, opening)
            return run.status()
        settled = run is not None and (run.state not in _RESUMABLE or not run.over)
        if run is not None and settled and not await self._moved_on(core, run):
            return run.status()
        keeper = await self._open(core, workflow_id)
        run = await self._stored(core, workflow_id)
        if run.state in (WorkflowState.COMPLETED, WorkflowState.CANCELLED):
            if workflow_id in core.runs:
                # Its end was written, but the store could not say so any more.
                core.runs[workflow_id] = run
            return run.status()
        try:
            again = await keeper.claim(
                workflow_id, definition, opening if run.state.finished else (), newest
            )
        except RunHeld:
            return run.status()
        await self._until_taken_in(core, again)
        return again.status()

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
        core = self._setup.core()
        newest = None if workflow is None else self._setup.definition_of(workflow)
        run = core.runs.get(workflow_id)
        if run is None or run.state is WorkflowState.INTERRUPTED:
            run = await self._stored(core, workflow_id)
        if run.id in core.runs and not run.over:
            raise ValueError(
                f"workflow {workflow_id!r} still runs; cancel it first, or wait for its end"
            )
        if step not in run.plan.by_id:
            raise ValueError(
                f"workflow {run.plan.name!r} has no step {step!r}. {near(step, run.plan.by_id)}"
            )
        steps = [step, *sorted(run.plan.after(step))]
        opening = ((EventKind.WORKFLOW_REWOUND, {"step": step, "steps": steps}),)
        if not run.persist:
            await self._again(core, run, opening)
            return run.status()
        keeper = await self._open(core, workflow_id)
        again = await keeper.claim(workflow_id, definition, opening, newest)
        await self._until_taken_in(core, again)
        return again.status()

    async def _again(
        self, core: EngineCore, run: Run, opening: tuple[tuple[EventKind, Any], ...]
    ) -> None:
        """Let a run in memory that has ended go on."""
        run.bound = self._setup.bind(run.plan)
        run.span = None
        accepted = core.promise()
        launch(core, Start(run, accepted, opening=opening))
        run.over = False  # from now on, so that who asks for the same meanwhile finds it running
        await accepted
        await self._until_taken_in(core, run)

    async def _until_taken_in(self, core: EngineCore, run: Run) -> None:
        """Wait until the engine's actor, and the run's coordinator, have seen the run."""
        for _ in range(100):
            if core.runs.get(run.id) is run and not run.over and not run.state.finished:
                return
            await asyncio.sleep(0)

    async def signal_workflow(self, workflow_id: str, signal: str, payload: Any = None) -> None:
        """Send a run the signal that a ``wait_for`` step waits for, now or later.

        It is kept until a step takes it; for a stored run it is stored before this returns. Raises
        `UnknownWorkflow`, and ValueError for a run that has ended.
        """
        core = self._setup.core()
        run = core.runs.get(workflow_id)
        if run is not None and run.over and run.state.finished:
            raise ValueError(f"workflow {workflow_id!r} has ended ({run.state}); nothing can wait")
        if run is not None and not run.persist:
            item = Signal(0, workflow_id, signal, payload, core.now())
            launch(core, SignalRun(workflow_id, [item]))
            return
        keeper = await self._open(core, workflow_id)
        try:
            number = await keeper.store.put_signal(workflow_id, signal, payload)
        except UnknownRun:
            raise UnknownWorkflow(workflow_id, core.runs) from None
        if workflow_id in core.runs:
            item = Signal(number, workflow_id, signal, payload, core.now())
            launch(core, SignalRun(workflow_id, [item]))

    # -- stored runs ---------------------------------------------------------------------------------

    async def recover(self) -> RecoveryReport:
        """Take over the stored runs that no living engine holds, and let them go on.

        Returns which went on, which were left because their definition has changed, and which could
        not go on. Those of an engine that was killed on this machine are free at once, those of one
        that vanished elsewhere after ``lease_seconds``.
        """
        core = self._setup.core()
        keeper = await self._setup.keeper(core)
        keeper.recovered = True
        return await keeper.recover()

    async def _open(self, core: EngineCore, workflow_id: str) -> Keeper:
        run = core.runs.get(workflow_id)
        if run is not None and not run.persist:
            raise NotStored(workflow_id, "This")
        return await self._ready(core)

    async def _moved_on(self, core: EngineCore, run: Run) -> bool:
        """Tell whether another engine has taken a run since it ended here."""
        keeper, lease = core.keeper, run.lease
        if not run.over or lease is None or keeper is None:
            return False
        try:
            row = await keeper.store.load_run(run.id)
        except StoreError:
            return False  # it is forgotten there, or the store fails: what is known here remains
        return row.fence != lease.fence

    async def _stored(self, core: EngineCore, workflow_id: str) -> Run:
        """Return a run as the store has it; raises `UnknownWorkflow`."""
        keeper = await self._ready(core)
        try:
            return await keeper.read(workflow_id)
        except UnknownRun:
            raise UnknownWorkflow(workflow_id, core.runs) from None

    # -- its end -------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End the engine in the current system: runs are interrupted, the store is closed.

        Stored runs go on with the next `recover`, here or elsewhere. An engine that was stopped stays
        so; again: harmless.
        """
        self._setup.stopped = True
        core = self._setup.core_or_none()
        if core is not None and core.actor_ref.is_alive():
            ref = core.actor_ref
            core.end()
            await core.home.wait_ended(ref, CANCEL_GRACE_S)

    async def __aenter__(self) -> Self:
        if self.config.recover_on_start:
            await self._ready(self._setup.core())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()


_RESUMABLE = frozenset({WorkflowState.FAILED, WorkflowState.INTERRUPTED})


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


def _retire(setup_ref: weakref.ref[Setup]) -> None:
    """Nobody holds the engine any more: let its actors end when their workflows have."""
    setup = setup_ref()
    # Weakly: the setup reaches its actors and, through a workflow's code, perhaps the engine.
    for core in setup.cores() if setup is not None else ():
        try:
            core.actor_ref.tell(Retire())
        except ActorDied:
            pass


__all__ = ["OrchestrationEngine", "Workflow"]
