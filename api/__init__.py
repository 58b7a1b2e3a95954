"""An actor runtime for AI agents: supervised agents, orchestration patterns, durable workflows.

The top layer: what most users import, the model providers, the command line and the testing kit.
It may know every layer below, by what that exports. It keeps no state of its own; its import
connects model agents to `agenticaiframework.models`.
"""

from __future__ import annotations

# Before the imports: by this what is imported below knows that it is not another project's package.
__distribution__ = "agenticai-actors"

import asyncio
import importlib
import opcode
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import (
    Actor,
    ActorSystem,
    AdaptedHandler,
    Agent,
    AgentError,
    AgentFailed,
    AgenticError,
    AgentResult,
    AgentTimeout,
    Guardrail,
    GuardrailTripped,
    KeptSessions,
    ModelRequest,
    ModelRunner,
    ModelSpec,
    RequestRejected,
    TalkKeeper,
    UsageLimitReached,
    agent_context,
    check_package,
    near_names,
    run_sync,
    run_until_signal,
    send_chunk,
    set_answer_check,
    set_handler_adapter,
    set_model_runner_factory,
    set_sessions_factory,
    set_spec_check,
    set_talk_keeper,
)

if TYPE_CHECKING:
    from .models import (
        History,
        tool,
    )
    from .orchestration import (
        AgentHandoff,
        AgentRole,
        AgentSupervisor,
        AgentTeam,
        BackoffType,
        Bulkhead,
        ChoreographyOrchestration,
        CircuitBreaker,
        DebateOrchestration,
        DefinitionError,
        DelegationRule,
        EngineConfig,
        HedgedRequest,
        HierarchicalOrchestration,
        LoopOrchestration,
        MapReduceOrchestration,
        OrchestrationEngine,
        ParallelOrchestration,
        PatternFailed,
        RateLimiter,
        ReflectionOrchestration,
        RestartPolicy,
        RestartType,
        Retry,
        RouterOrchestration,
        SagaOrchestration,
        SagaStep,
        ScatterGatherOrchestration,
        SequentialOrchestration,
        StepDefinition,
        SupervisionStrategy,
        SupervisionTree,
        TaskSupervisor,
        TeamConfig,
        TeamStep,
        UnretriableError,
        VoteOrchestration,
        WaitFor,
        WorkflowCancelled,
        WorkflowDefinition,
        WorkflowFailed,
        WorkflowResult,
        WorkflowRun,
        WorkflowState,
        WorkflowStatus,
        WorkflowTimedOut,
        define_workflow,
        load_workflow,
        workflow,
    )

__all__ = [
    "Actor",
    "ActorSystem",
    "Agent",
    "AgentError",
    "AgentFailed",
    "AgentHandoff",
    "AgentResult",
    "AgentRole",
    "AgentSupervisor",
    "AgentTeam",
    "AgentTimeout",
    "AgenticError",
    "BackoffType",
    "Bulkhead",
    "ChoreographyOrchestration",
    "CircuitBreaker",
    "DebateOrchestration",
    "DefinitionError",
    "DelegationRule",
    "EngineConfig",
    "Guardrail",
    "GuardrailTripped",
    "HedgedRequest",
    "HierarchicalOrchestration",
    "History",
    "LoopOrchestration",
    "MapReduceOrchestration",
    "OrchestrationEngine",
    "ParallelOrchestration",
    "PatternFailed",
    "RateLimiter",
    "ReflectionOrchestration",
    "RequestRejected",
    "RestartPolicy",
    "RestartType",
    "Retry",
    "RouterOrchestration",
    "SagaOrchestration",
    "SagaStep",
    "ScatterGatherOrchestration",
    "SequentialOrchestration",
    "StepDefinition",
    "SupervisionStrategy",
    "SupervisionTree",
    "TaskSupervisor",
    "TeamConfig",
    "TeamStep",
    "UnretriableError",
    "UsageLimitReached",
    "VoteOrchestration",
    "WaitFor",
    "WorkflowCancelled",
    "WorkflowDefinition",
    "WorkflowFailed",
    "WorkflowResult",
    "WorkflowRun",
    "WorkflowState",
    "WorkflowStatus",
    "WorkflowTimedOut",
    "__version__",
    "agent_context",
    "define_workflow",
    "load_workflow",
    "run_sync",
    "run_until_signal",
    "send_chunk",
    "tool",
    "workflow",
]

__version__ = "0.1.0"

check_package()

_LATER: Final = ("History", "tool")
"""Names that are imported from `agenticaiframework.models` when they are first used."""


if not TYPE_CHECKING:  # checkers read the imports above

    def __getattr__(name: str) -> Any:
        # What needs more than agents is imported when it is first used: most of the time of an import
        # is pydantic's.
        if name in _LATER:
            home = importlib.import_module(".models", __name__)
        elif name in __all__ and name not in globals():
            home = importlib.import_module(".orchestration", __name__)
        else:
            raise _unknown(name, sys._getframe(1))
        value = globals()[name] = getattr(home, name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


def _unknown(name: str, frame: FrameType) -> Exception:
    """Return the error for a name that is not here; *frame* is where it is asked for.

    Python makes an error of its own of an AttributeError in a ``from`` import, without the reason.
    """
    if name.startswith("__"):
        return AttributeError(f"module {__name__!r} has no attribute {name!r}")
    within = frame.f_code.co_code[frame.f_lasti] if frame.f_lasti >= 0 else 0
    if opcode.opname[within] == "IMPORT_FROM":
        said = f"cannot import {name!r} from {__name__}. {_meant(name)}"
        return ImportError(said, name=name, path=__file__)
    return AttributeError(f"{__name__} has no {name!r}. {near_names(name, __all__)}")


_ELSEWHERE: Final = {
    "AssistantAgent": "Agent(name, model=..., instructions=...)",
    "Crew": "AgentTeam, or a pattern such as SequentialOrchestration",
    "Engine": "OrchestrationEngine",
    "Graph": "a workflow: a mapping with steps, or WorkflowDefinition",
    "GroupChat": "AgentTeam and its discuss(...)",
    "Runner": "`await agent.run(payload)`, or agent.ask_sync(payload)",
    "StateGraph": "a workflow: a mapping with steps, or WorkflowDefinition",
    "Supervisor": "AgentSupervisor",
    "Task": "what an agent, a pattern or a workflow is given: any object",
    "Team": "AgentTeam",
    "Workflow": "a mapping with steps, WorkflowDefinition, or the decorator `workflow` for code",
}
"""Names of other libraries, and of first guesses."""


def _meant(name: str) -> str:
    for module in ("orchestration", "actors", "models", "testing"):
        there = importlib.import_module(f".{module}", __name__)
        if name in there.__all__:
            return f"It is in {there.__name__}: from {there.__name__} import {name}"
    if name in _ELSEWHERE:
        return f"Here that is {_ELSEWHERE[name]}."
    hint = near_names(name, __all__)
    return hint if hint.startswith("Did") else "dir(agenticaiframework) lists what there is."


def _model_runner(model: object) -> ModelRunner:
    # Imported by the first model agent that is asked, because most programs' start should not pay.
    from .models.runs.runners import model_runner

    return model_runner(model)


def _fit_answer(request: ModelRequest, answer: Any) -> Any:
    from .models.content.fitting import fit_answer

    return fit_answer(request, answer)


def _adapt_handler(name: str, handler: object) -> AdaptedHandler | None:
    from .models.adapting import adapt

    return adapt(name, handler)


def _sessions(spec: ModelSpec, system: ActorSystem) -> KeptSessions:
    from .models.sessions.looking import AgentSessions

    return AgentSessions(spec, system)


def _check_spec(spec: ModelSpec) -> None:
    given = (spec.wrapped, spec.history, spec.usage_limits, spec.approve)
    told = spec.instructions is None or isinstance(spec.instructions, str)
    several = spec.typed or spec.tools or spec.model_settings or not told
    if several or any(each is not None for each in given):
        from .models.checking import check_model_spec

        check_model_spec(spec)


async def _talk_keeper() -> TalkKeeper | None:
    try:
        if sys.modules.get("pydantic_ai") is None:
            await asyncio.to_thread(importlib.import_module, "pydantic_ai")
    except ImportError:
        return None  # members without models keep their conversations in memory
    from .models.sessions.talks import Talks

    return Talks()


set_talk_keeper(_talk_keeper)
set_model_runner_factory(_model_runner)
set_answer_check(_fit_answer)
set_handler_adapter(_adapt_handler)
set_sessions_factory(_sessions)
set_spec_check(_check_spec)
