"""`OrchestrationEngine`: runs workflows over agents, teams and patterns, and keeps what they did."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar, Unpack, cast, overload

from agenticaiframework.actors import (
    ActorSystem,
    agent_context,
    explained,
    no_attribute,
    refuse_on_a_loop,
    run_sync,
    shown,
)

from ..definition.errors import DefinitionError
from .code.workflow import AnyWorkflow, CodeWorkflow
from .definition.config import EngineConfig
from .definition.workflow import WorkflowDefinition
from .errors import WorkflowExists, WorkflowFailed, WorkflowTimedOut
from .host.answering import answer_question, first_question
from .host.control import RunControl
from .host.core import EngineCore
from .host.cores import Cores
from .host.enqueueing import QueuePlace, enqueue, read_place
from .host.forking import fork_run
from .host.launching import (
    attend,
    follow,
    join_turn,
    launch,
    launch_now,
    make_run,
    refuse_if_draining,
    start,
)
from .host.load import EngineLoad
from .host.messages import DrainEngine, Retire, StartRun
from .host.tracing import Span
from .host.watchers import EngineWatcher
from .registering import Workflow
from .scheduling import Scheduling
from .state.cancellation import Cancellation
from .state.listing import (
    WorkflowFilter,
    list_runs,
    read_filter,
    read_selection,
    unfinished,
)
from .state.live import LiveRun
from .state.status import (
    AnswerReport,
    BulkReport,
    CancelReport,
    DrainReport,
    Question,
    QueueStatus,
    RecoveryReport,
    SignalReport,
    WorkflowPage,
    WorkflowState,
    WorkflowStatus,
)
from .state.stream import EventSource, WorkflowStream
from .store import Signal

Input = TypeVar("Input")
Result = TypeVar("Result")

Changed = Literal["old", "new", "fail"]


_EXECUTE: Final = (
    "`await engine.execute(workflow, input)`, or engine.execute_sync(workflow, input) "
    "where no event loop runs."
)
_TRIED: Final = {
    "add_agent": "engine.register_agent('writer', agent)",
    "add_workflow": "engine.register_workflow('refund', definition)",
    "close": "`await engine.stop()`, or the end of `async with engine:`.",
    "execute_workflow": _EXECUTE,
    "invoke": _EXECUTE,
    "list_runs": "`await engine.list_workflows()`",
    "register": "engine.register_agent, register_team, register_pattern, or register_workflow.",
    "resume": "`await engine.resume_workflow(workflow_id)`",
    "run": _EXECUTE,
    "run_sync": _EXECUTE,
    "run_workflow": _EXECUTE,
    "signal": "`await engine.signal_workflow(workflow_id, signal, payload)`",
    "start": "`async with engine:`, or nothing: it starts with its first workflow.",
    "status": "`await engine.get_workflow_status(workflow_id)`",
    "submit": "`await engine.start_workflow(workflow, input)`",
}
"""Methods of engines elsewhere."""


class OrchestrationEngine(Scheduling):
    """Runs workflows, patterns and routed inputs.

    ::

        engine = OrchestrationEngine(EngineConfig(default_timeout_seconds=60))
        engine.register_agent("classifier", classifier)
        result = await engine.execute(workflow=workflow, input_data={"message": "hello"})
        result["classify"]

    Making one needs no event loop and starts nothing. Its actor is started in the current actor
    system when first needed, and ends with it, or with `stop`; ``async with engine:`` stops it at the
    end, and starts it again the next time. Every run is an actor of its own; runs share nothing. The methods belong to the loop of that system.
    """

    @explained(
        "OrchestrationEngine(EngineConfig(default_timeout_seconds=60))",
        **{
            option: f"It belongs to the config: OrchestrationEngine(EngineConfig({option}=...))."
            for option in (*EngineConfig.model_fields, "store")
        }
        | {
            "agents": "Agents are registered: engine.register_agent('writer', agent).",
            "workflows": "Workflows are registered: engine.register_workflow(definition).",
        },
    )
    def __init__(self, config: EngineConfig | None = None, *, name: str = "engine") -> None:
        if config is not None and not isinstance(config, EngineConfig):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(
                "OrchestrationEngine",
                [f"its config is an EngineConfig, not {shown(config, 80)}"],
                "OrchestrationEngine(EngineConfig(default_timeout_seconds=60))",
            )
        cores = Cores(name, config or EngineConfig())
        super().__init__(cores)
        self._control = RunControl(cores)
        # When the engine is dropped its workflows end, and then nothing of it stays.
        finalizer = weakref.finalize(self, _retire, weakref.ref(cores))
        finalizer.atexit = False

    if not TYPE_CHECKING:  # or checkers would take every attribute for one

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name, _TRIED)

    def __repr__(self) -> str:
        names = ", ".join(map(repr, self._setup.directory.workflows)) or "no workflow registered"
        return f"<OrchestrationEngine {self.name!r}: {names}>"

    @property
    def name(self) -> str:
        """Its name, in logs and in the store."""
        return self._setup.name

    @property
    def config(self) -> EngineConfig:
        """How it is set up."""
        return self._setup.config

    # -- running -----------------------------------------------------------------------------------

    @overload
    async def execute(
        self,
        workflow: CodeWorkflow[Input, Result],
        input_data: Input | Mapping[str, Any] | None = None,
        *,
        persist_state: bool | None = None,
        timeout: float | None = None,
        workflow_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        context: Mapping[str, Any] | None = None,
        usage_limits: Any = None,
        queue: str | None = None,
        key: str | None = None,
        priority: int = 0,
    ) -> Result: ...
    @overload
    async def execute(
        self,
        workflow: WorkflowDefinition | Mapping[str, Any] | str | None = None,
        input_data: Any = None,
        *,
        pattern: Any = None,
        persist_state: bool | None = None,
        timeout: float | None = None,
        workflow_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        context: Mapping[str, Any] | None = None,
        usage_limits: Any = None,
        queue: str | None = None,
        key: str | None = None,
        priority: int = 0,
    ) -> Any: ...
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
        usage_limits: Any = None,
        queue: str | None = None,
        key: str | None = None,
        priority: int = 0,
    ) -> Any:
        """Run a workflow, a pattern, or what the routing picks, and return the result.

        A workflow's result is a mapping from step id to output (`WorkflowResult`), of one that is code what
        that returns. Raises
        `WorkflowFailed` with the step's error as its cause, `WorkflowCancelled`, and before anything
        runs `DefinitionError`, `UnknownName`, `InputMismatch`, `NoRouteMatches`. After *timeout*
        seconds the run is cancelled and `WorkflowTimedOut` raised. Cancelling the awaiting task
        cancels the run and what it does. Its steps see the caller's context variables, and find
        *context* in `agent_context()`, which is stored with the run, if that is. *usage_limits* says what
        it may spend on models, over all that it asks, in place of the definition's or the engine's.

        With *queue*, *key* and *priority* the run waits in a queue, as one of `start_workflow` does, and
        this call for its end, whichever engine has taken it. *timeout* counts the time in the queue, too;
        of a run that is cancelled in there no step runs.
        """
        place = read_place("execute", queue, key, priority, persist_state)
        core, live = await self._make(
            workflow,
            input_data,
            pattern,
            persist_state,
            workflow_id,
            labels,
            context,
            usage_limits,
            place=place,
        )
        if place is not None:
            return await self._control.attend_queued(core, live, place, timeout)
        request = follow(core, live)
        # A run that a handler waits for must not wait for the handler's own to give it its turn.
        join_turn(core, live, agent_context().get("workflow_id"))
        launch_now(core, StartRun(live))
        if timeout is None:
            return await attend(core, live, request)
        try:
            async with asyncio.timeout(timeout):
                return await attend(core, live, request)
        except TimeoutError as error:
            if isinstance(error, WorkflowFailed):
                raise
            if live.over and not live.interrupted:
                # It ended before it could be cancelled, and that is what happened.
                if live.run.state is WorkflowState.COMPLETED:
                    return live.result
                if live.run.state is WorkflowState.FAILED and live.error is not None:
                    raise live.error from None
            limit = TimeoutError(f"it took longer than timeout={timeout:g} s")
            raise WorkflowTimedOut(live.run.plan.name, live.id, "", "", limit) from None

    def execute_sync(
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
        usage_limits: Any = None,
        queue: str | None = None,
        key: str | None = None,
        priority: int = 0,
    ) -> Any:
        """Return what `execute` returns, for code without an event loop; this thread waits meanwhile.

        The engine works in the current system: where no loop runs, that is one in the background,
        which lives until the program ends. Raises what `execute` raises, and `WouldBlock` in a thread
        that runs an event loop, as a notebook's does: write ``await engine.execute(...)`` there.
        """
        call = f"engine.execute_sync(...) of {self.name!r}"
        refuse_on_a_loop(call, "await engine.execute(...)")
        return run_sync(
            self.execute(
                cast("Any", workflow),
                input_data,
                pattern=pattern,
                persist_state=persist_state,
                timeout=timeout,
                workflow_id=workflow_id,
                labels=labels,
                context=context,
                usage_limits=usage_limits,
                queue=queue,
                key=key,
                priority=priority,
            )
        )

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
        usage_limits: Any = None,
        queue: str | None = None,
        key: str | None = None,
        priority: int = 0,
    ) -> str:
        """Start a run in the background and return its id, once it is taken in (and stored).

        With *persist_state* every step's beginning and end is written to the store, so that the run
        survives this process. *workflow_id* makes starting it twice an error (`WorkflowExists`).
        Its steps see the caller's context variables as long as the run is in this process, and find
        *context* in `agent_context()`: what a stored run is given has to have a JSON form.

        With *queue* the run is stored, and waits in that queue until an engine takes it that serves it
        (``EngineConfig(queues=[Queue("gpu", concurrency=4)])``), this one or another: the largest
        *priority* first, of one priority the oldest, and of one *key* as many at a time as the queue says.
        Its time limits count from when it has begun. Raises ValueError for *queue* with
        ``persist_state=False``, and for *key* or *priority* without a queue.
        """
        place = read_place("start_workflow", queue, key, priority, persist_state)
        core, live = await self._make(
            workflow,
            input_data,
            pattern,
            persist_state,
            workflow_id,
            labels,
            context,
            usage_limits,
            place=place,
        )
        if place is None:
            await start(core, StartRun(live))
        else:
            await enqueue(core, await self._cores.ready(core), live, place)
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
        usage_limits: Any = None,
        caller: Context | None = None,
        place: QueuePlace | None = None,
    ) -> tuple[EngineCore, LiveRun]:
        """Return a run that has not begun, and the actor that is to take it in."""
        config = self._setup.config
        if self._setup.draining:
            refuse_if_draining(self._cores.here(), agent_context().get("workflow_id"))
        plan = self._setup.plan_of(workflow, pattern, input_data)
        core = self._cores.here()
        persist = config.persist_state if persist_state is None else persist_state
        persist = persist or place is not None
        if persist or config.keeps_house:
            keeper = await self._cores.ready(core)
            if persist and core.gate.outage is not None:
                await keeper.store.flush()  # says so, if the store does not answer still
        return core, make_run(
            core,
            plan,
            input_data,
            run_id=workflow_id,
            persist=persist,
            labels=labels,
            context=context,
            usage_limits=usage_limits,
            caller=caller,
            elsewhere=place is not None and place.queue not in self._setup.served,
        )

    async def wait(self, workflow_id: str, timeout: float | None = None) -> Any:
        """Return the result of a run, when it has ended; raises as `execute` does.

        Of a workflow that is defined the result is a mapping from step id to output (`WorkflowResult`); of
        one that is code, what its function returns. After *timeout* seconds a TimeoutError is raised; the run goes on. A stored run of another
        engine can be waited for as well.
        """
        async with asyncio.timeout(timeout):
            return await self._control.wait(workflow_id)

    # -- looking -----------------------------------------------------------------------------------

    async def get_workflow_status(
        self, workflow_id: str, *, outputs: bool = False
    ) -> WorkflowStatus:
        """Return where a run stands: state, steps, progress, attempts, times, the last error.

        Its nested runs stand in ``children``. Of a stored one also which engine has it, and when that
        gave its last sign of life; with *outputs*, what it was given, and what its steps have returned. Raises
        `UnknownWorkflow`.
        """
        return await self._control.status(workflow_id, outputs=outputs)

    async def list_workflows(
        self,
        *,
        limit: int = 100,
        page: str | None = None,
        persisted: bool | None = None,
        **where: Unpack[WorkflowFilter],
    ) -> WorkflowPage:
        """Return runs, the newest first: those in memory, and those in the store.

        *where* says which ones: ``state`` (one or several), ``name``, ``labels``, ``parent``, ``root``,
        and ``created_after``, ``created_before``, ``finished_after``, ``finished_before`` in seconds
        since the epoch or as a datetime. *persisted* True lists the store alone (and makes it, if it is
        not there), False the memory alone; without it the store is looked into if it is there.
        """
        core = self._cores.here()
        store = await self._control.store(core, persisted)
        return await list_runs(core.roster, store, read_filter(where), limit, page, persisted)

    async def list_queues(self) -> tuple[QueueStatus, ...]:
        """Return the queues that living engines serve or in which runs stand, by name.

        Each with how many runs wait in it and how many are taken, over all engines of the store.
        """
        core = self._cores.here()
        store = await self._control.store(core, None)
        depths = () if store is None else await store.queue_depths()
        return tuple(
            QueueStatus(one.queue, one.waiting, one.taken, one.oldest_at, one.engines)
            for one in depths
        )

    def trace(self, workflow_id: str | None = None) -> list[Span]:
        """Return the recorded spans, of one run or of all, in the order in which they began.

        Empty unless the engine was set up with ``enable_tracing=True``.
        """
        core = self._cores.here_or_none() or self._cores.last
        if core is None or core.tracer is None:
            return []
        return list(core.tracer.spans(workflow_id))

    def load(self, system: ActorSystem) -> EngineLoad:
        """Return how loaded the engine is in *system*; on the loop of that. Nothing is started by it."""
        return self._cores.load(system)

    def watch(self, watcher: EngineWatcher) -> Callable[[], None]:
        """Tell *watcher* what ends in the engine from now on; returns a function that ends it."""
        return self._cores.watch(watcher)

    def stream(
        self,
        workflow_id: str | None = None,
        *,
        workflow: Workflow | None = None,
        input_data: Any = None,
        pattern: Any = None,
        persist_state: bool | None = None,
        context: Mapping[str, Any] | None = None,
        usage_limits: Any = None,
        queue: str | None = None,
        key: str | None = None,
        priority: int = 0,
        after: int = 0,
    ) -> WorkflowStream:
        """Return the events of a run, for ``async for``: from its beginning to its end.

        Of a run that is *workflow_id*, in memory or in the store, whichever engine runs it; or of one
        that is started with *workflow* and *input_data* when the first event is asked for; its steps see
        the caller's context variables. With *queue*, *key* and *priority* it waits in a queue
        first, as one of `start_workflow` does, and is followed wherever it is taken.

        The events of a stored run carry their number in its journal, ``seq``; with *after* only those
        behind that number are told: a reader that was cut off goes on without a gap (the
        ``Last-Event-ID`` of server-sent events). Raises `UnknownWorkflow`, and `NotStored` for *after*
        with a run that is in memory alone.
        """
        if isinstance(after, bool) or not isinstance(after, int) or after < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"after={after!r}: give the number (`seq`) of an event, 0 for all")
        if workflow_id is not None and not isinstance(workflow_id, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"engine.stream({shown(workflow_id)}) needs the id of a run. For a new one: "
                "engine.stream(workflow=..., input_data=...)"
            )
        if after and workflow_id is None:
            raise ValueError(f"after={after} needs the id of a run that there is: workflow_id=...")
        place = read_place("stream", queue, key, priority, persist_state)
        if place is not None and workflow_id is not None:
            raise ValueError(
                f"queue={place.queue!r} is for a new run: engine.stream(workflow=..., queue=...); "
                f"{workflow_id!r} is one that there is"
            )
        caller = copy_context()

        async def begin(stream: WorkflowStream) -> EventSource:
            if workflow_id is not None:
                stream.workflow_id = workflow_id
                return await self._control.follow(workflow_id, after)
            core, live = await self._make(
                workflow,
                input_data,
                pattern,
                persist_state,
                context=context,
                usage_limits=usage_limits,
                caller=caller,
                place=place,
            )
            stream.workflow_id = live.id
            if place is not None:
                await enqueue(core, await self._cores.ready(core), live, place)
                return await self._control.follow(live.id, 0)
            events = self._control.follow_new(core, live)
            # Until it is taken in: a run that is refused would be followed for ever.
            await start(core, StartRun(live))
            return events

        return WorkflowStream(begin, begins_again=workflow_id is not None, wait=self.wait)

    async def query(self, workflow_id: str) -> Any:
        """Return what a run wants known: what it gave to ``set_state`` last, None if it never did.

        Of a stored run also from another process. Raises `UnknownWorkflow`.
        """
        return (await self._control.find(workflow_id)).run.shown

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

    async def cancel_workflows(
        self,
        *,
        reason: str = "cancelled",
        graceful: bool = False,
        compensate: bool = True,
        **where: Unpack[WorkflowFilter],
    ) -> BulkReport:
        """Cancel all unfinished runs for which *where* holds, and return once they have ended.

        *where* is what `list_workflows` takes, and must say something; each run is cancelled as by
        `cancel_workflow`, up to a hundred at a time.
        """
        chosen = unfinished(read_selection("cancel_workflows", where))

        async def cancel(run_id: str) -> bool:
            cancellation = Cancellation(reason, graceful=graceful, compensate=compensate)
            return not (await self._control.cancel(run_id, cancellation)).already_finished

        return await self._control.each(chosen, cancel)

    async def resume_workflows(
        self, *, definition: Changed | None = None, **where: Unpack[WorkflowFilter]
    ) -> BulkReport:
        """Let all runs for which *where* holds go on that failed or were cut off, in the background.

        *where* is what `list_workflows` takes, and must say something; without a ``state`` it is those
        that failed. Each is resumed as by `resume_workflow`.
        """
        chosen = read_selection("resume_workflows", where)
        states = {WorkflowState.FAILED.value} if chosen.states is None else chosen.states
        ended_well = {WorkflowState.COMPLETED.value, WorkflowState.CANCELLED.value}
        chosen = replace(chosen, states=frozenset(states - ended_well))

        async def resume(run_id: str) -> bool:
            live = await self._control.resume(run_id, definition, None)
            return live.lease is not None or not live.run.persist

        return await self._control.each(chosen, resume)

    async def purge_workflows(self, **where: Unpack[WorkflowFilter]) -> BulkReport:
        """Forget all finished runs for which *where* holds, in memory and in the store, for good.

        *where* is what `list_workflows` takes, and must say something. Parts go with the run that they
        are a part of, and not before it.
        """
        return await self._control.forget(read_selection("purge_workflows", where))

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

    def _definition_of(self, workflow: Workflow | None) -> AnyWorkflow | None:
        return None if workflow is None else self._setup.definition_of(workflow)

    async def signal_workflow(
        self,
        workflow_id: str,
        signal: str,
        payload: Any = None,
        *,
        step: str | None = None,
        for_resume: bool = False,
    ) -> SignalReport:
        """Send a run the signal that a ``wait_for`` step waits for, now or later.

        The first step in definition order takes it that waits for it, in the run or in a nested one;
        with *step*, only that step, or what stands in it: ``"book"``, ``"book/answer"``,
        ``"each[2]"``. It is kept until a step takes it; for a stored run it is stored before this
        returns. Signals of one run are taken in the order in which they were kept, through whichever
        engine they came. Says where the run stood, and what it waited for: one that is blocked takes its
        signals once it goes on, and a name that is near to one that is waited for, and is not it, is
        told in the log. With *for_resume* a stored run that has failed is given it as well, for when it is resumed.
        Raises `UnknownWorkflow`, `WorkflowEnded` (a ValueError) for a run that has ended, ValueError
        for a *step* that it does not have, and `TooManySignals` when 10,000 wait in it.
        """
        if step is not None:
            await self._control.check_step(workflow_id, step)
            signal = f"{step}/{signal}"
        report = await self._control.signal(workflow_id, signal, payload, for_resume)
        if report.state is WorkflowState.BLOCKED:
            self._cores.here().system.log.warning(
                "engine {}: {} is blocked, and takes its signal {!r} once it goes on: {}",
                self.name, workflow_id, signal, report.reason,
            )  # fmt: skip
        return report

    async def answer(self, workflow_id: str, question: str, value: Any = None) -> AnswerReport:
        """Answer a question that a handler has asked with ``agent_context().question(...)``.

        *question* is its id as the status says, or as much of the end of it as names one. The run may be
        anywhere, and asked long ago; for a stored run the answer is stored before this returns. The
        handler is called again, and gets *value*. Raises `UnknownQuestion` with what is open,
        `AlreadyAnswered`, `UnknownWorkflow`, `WorkflowEnded`.
        """
        return await answer_question(self._control, workflow_id, question, value)

    async def next_question(self, workflow_id: str, timeout: float | None = None) -> Question:
        """Return the first question in a run, or in a nested one, that has no answer; wait until there is one.

        ::

            question = await engine.next_question(run_id)
            await engine.answer(run_id, question.id, {"ok": True})

        Raises `WorkflowEnded` where the run ends without one, `UnknownWorkflow`, and TimeoutError after
        *timeout* seconds; the run goes on. Of a run of another engine as well.
        """
        async with asyncio.timeout(timeout), self.stream(workflow_id) as events:
            return await first_question(self._control, workflow_id, events)

    async def approve(
        self,
        workflow_id: str,
        call: str,
        ok: bool = True,
        *,
        arguments: Mapping[str, Any] | None = None,
        reason: str | None = None,
    ) -> AnswerReport:
        """Answer whether a tool may be called that a model has asked for, which requires approval.

        *call* is the id of the call, or of its question. With *arguments* it is called with those
        instead. If not *ok*, the model is told *reason*. Raises what `answer` raises.
        """
        if ok is not True and ok is not False:
            raise TypeError(f"ok is True or False, not {ok!r}")
        if not ok and arguments is not None:
            raise ValueError("arguments= goes with ok=True: a call that is denied is not made")
        value: dict[str, Any] = {"approved": ok}
        if arguments is not None:
            value["arguments"] = dict(arguments)
        if reason is not None:
            value["reason"] = reason
        return await answer_question(self._control, workflow_id, call, value, approval=True)

    async def signal_with_start(
        self,
        workflow: Workflow | None = None,
        input_data: Any = None,
        *,
        signal: str,
        workflow_id: str,
        payload: Any = None,
        persist_state: bool | None = None,
        labels: Mapping[str, str] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> str:
        """Start a run in the background, unless there is one with this id, and send it a signal.

        Of several callers at once, in whatever processes, one starts the run, and the signals of all
        reach it. Returns *workflow_id*. Raises what `start_workflow` and `signal_workflow` raise, but
        not `WorkflowExists`: so ValueError for a run that has ended.
        """
        live: LiveRun | None = None
        try:
            core, live = await self._make(
                workflow, input_data, None, persist_state, workflow_id, labels, context
            )
            if not live.run.persist:
                # It begins with it, so it cannot have ended before.
                live.put_signals([Signal(0, workflow_id, signal, payload, core.now())])
            await start(core, StartRun(live))
            if not live.run.persist:
                return workflow_id
        except WorkflowExists:
            live = None
        try:
            await self._control.signal(workflow_id, signal, payload, late=False)
        except ValueError:
            if live is None or not live.over:
                raise
            # The run that was started here ended without waiting for a signal.
        return workflow_id

    async def fork(
        self,
        workflow_id: str,
        *,
        at: str,
        edit: Mapping[str, Any] | None = None,
        new_id: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> str:
        """Start a new run that goes another way than *workflow_id* from the step *at*; return its id.

        It begins with the outcomes of the steps that have ended and do not depend on *at*. *edit*
        gives kept steps other outputs, by their ids, and under ``"input"`` another input. The run
        itself stays as it is, whatever its state. What the new one fails or is cancelled with undoes
        only what it did itself. It is stored if the other is; its status says ``forked_from``. Raises
        `UnknownWorkflow`, `WorkflowExists`, `InputMismatch`, and ValueError for a step that the
        workflow does not have, and for an edit of one that is not kept.
        """
        return await fork_run(
            self._cores, self._control, workflow_id, at, edit or {}, new_id, labels
        )

    async def recover(self) -> RecoveryReport:
        """Take over the stored runs that no living engine holds, and let them go on.

        Returns which went on, which were left because their definition has changed, and which could
        not go on. Those of an engine that was killed on this machine are free at once, those of one
        that vanished elsewhere after ``lease_seconds``.
        """
        core = self._cores.here()
        refuse_if_draining(core)
        keeper = await self._cores.keeper(core)
        keeper.recovered = True
        return await keeper.recovery.recover()

    # -- its end -------------------------------------------------------------------------------------

    async def drain(self, deadline_s: float = 20.0) -> DrainReport:
        """Take no new work, let steps under way finish within *deadline_s*, give the rest to others.

        From now on what would start or take up a run raises `EngineDraining`, and the engine's health
        check fails, so that a service is no longer ready. No step of a stored run begins any more: a run
        that has none under way is given back at once, what still works at the deadline is cut off and
        given back then, and another engine goes on with it without waiting for a lease. Runs in memory
        alone go on until the deadline. Waits for parked runs fail with `WorkflowLost`; streams end with a
        `workflow_interrupted` that says ``reconnect``. Looking, signals and answers work on. It lasts
        until the engine is stopped; again: the same report, by the nearer of the deadlines.
        """
        if not 0 <= deadline_s < float("inf"):
            raise ValueError(f"deadline_s={deadline_s!r}: seconds, 0 or more")
        self._setup.draining = True
        core = self._cores.here_or_none()
        if core is None or not core.actor_ref.is_alive():
            return DrainReport(self.name)
        request = core.actor_ref.promise()
        launch(core, DrainEngine(deadline_s, request))
        report: DrainReport = await request
        return report

    @property
    def draining(self) -> bool:
        """Whether it takes no new work, because it is drained."""
        return self._setup.draining

    async def stop(self) -> None:
        """End the engine in the current system: runs are interrupted, the store is closed.

        Stored runs go on with the next `recover`, here or elsewhere. What is asked of it from now on
        raises `EngineStopped`, until ``async with engine:`` starts it again, on whatever loop; what was
        registered is still there, runs in memory are not. Again: harmless.
        """
        await self._cores.stop()

    async def __aenter__(self) -> Self:
        await self._cores.open_again()
        if self.config.keeps_house:
            await self._cores.ready(self._cores.here())
        elif self.config.stores_runs:
            self._cores.here()  # its store is where the agents of this system keep their sessions
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()


def _retire(cores_ref: weakref.ref[Cores]) -> None:
    """Nothing holds the engine any more: let its actors end when their workflows have."""
    cores = cores_ref()
    # Weakly: they reach their setup and, through a workflow's code, perhaps the engine.
    for core in cores.alive() if cores is not None else ():
        core.tell(Retire())


__all__ = ["OrchestrationEngine", "Workflow"]
