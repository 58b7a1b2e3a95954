"""How a model agent reaches its model, without this layer importing any model library.

An agent that was made with ``model=`` sends a `ModelRequest` to `run_model`. What answers is decided
at that moment: the latest override (tests install one), else the runner that the installed factory
gives for the model's name. The factory comes from the layer above, when the package is imported, so
that the kernel imports no provider and no provider is imported before an agent needs it.

State here belongs to the process, not to a system, because a model's name means the same in every
system; changes are single assignments and therefore safe from any thread.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, cast

from ..errors import AgenticError
from ..looks import is_a
from .agent_context import agent_context
from .agent_result import WHOLE_RESULT, AgentResult
from .agent_usage import open_agent_meter
from .metering import enter_meter, leave_meter
from .model_spec import ModelSpec
from .usage import NO_USAGE


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One question to a model: which agent asks, which model, and under which instructions.

    *model* is a name, or a model object of the library that will run it. *payload* is what the
    agent was sent, untouched. *output* is a JSON schema that the answer has to fit, for runners
    that can make a model keep to one; None leaves the answer free. *spec* has all that the agent was
    made of; None for a request that no agent makes.
    """

    agent: str
    model: object
    instructions: Any
    payload: Any
    output: Mapping[str, Any] | None = None
    spec: ModelSpec | None = None


ModelAnswer: TypeAlias = str | Mapping[str, Any] | AgentResult
"""What a runner returns: the answer, or the result, whose output has its form already."""
ModelRunner: TypeAlias = Callable[[ModelRequest], Awaitable[ModelAnswer]]
ModelRunnerFactory: TypeAlias = Callable[[object], ModelRunner]
AnswerCheck: TypeAlias = Callable[[ModelRequest, Any], Any]
SpecCheck: TypeAlias = Callable[[ModelSpec], None]


class ModelUnavailable(AgenticError):
    """No runner is installed for a model's name."""

    def __init__(self, agent: str, model: object) -> None:
        super().__init__(
            f"Agent {agent!r} asks for the model {model!r}, but nothing here runs models. "
            "Import agenticaiframework (which installs its providers), or call "
            "set_model_runner_factory(lambda model: runner) first."
        )
        self.agent = agent
        self.model = model


_factory: ModelRunnerFactory | None = None
_check: AnswerCheck | None = None
_spec_check: SpecCheck | None = None
_overrides: tuple[tuple[object, ModelRunner], ...] = ()


def set_model_runner_factory(factory: ModelRunnerFactory | None) -> ModelRunnerFactory | None:
    """Let *factory* turn model names into runners from now on; return the one it replaces."""
    global _factory
    previous, _factory = _factory, factory
    return previous


def set_answer_check(check: AnswerCheck | None) -> AnswerCheck | None:
    """Let *check* give the answers of runners the form that their request asks for; return the one before.

    It is called with the request and the answer, where an agent has an output type or schema and the
    runner did not return an `AgentResult`; it raises for an answer that does not fit.
    """
    global _check
    previous, _check = _check, check
    return previous


def set_spec_check(check: SpecCheck | None) -> SpecCheck | None:
    """Let *check* look at what each agent with a model is made of, when it is made; return the one before.

    It raises `AgentDefinitionError` for what cannot work, as far as that can be told by then.
    """
    global _spec_check
    previous, _spec_check = _spec_check, check
    return previous


def check_spec(spec: ModelSpec) -> None:
    """Raise what the installed check raises for *spec*."""
    if _spec_check is not None:
        _spec_check(spec)


def override_model_runner(runner: ModelRunner) -> Callable[[], None]:
    """Let *runner* answer every model agent, whatever its model; return the call that ends this.

    The latest override wins. Overrides may end in any order, and ending one twice is harmless.
    """
    global _overrides
    token = object()
    _overrides = (*_overrides, (token, runner))

    def remove() -> None:
        global _overrides
        _overrides = tuple(entry for entry in _overrides if entry[0] is not token)

    return remove


def resolve_model_runner(agent: str, model: object) -> ModelRunner:
    """Return the runner that answers *agent*'s model now.

    Raises `ModelUnavailable` without a factory, and what the factory raises for a name that it
    does not know or an extra that is not installed.
    """
    if _overrides:
        return _overrides[-1][1]
    if _factory is None:
        raise ModelUnavailable(agent, model)
    return _factory(model)


class ModelFields(dict[str, Any]):
    """A mapping that a model answered: in it, a model may say what it cannot return as an object.

    In a team ``{"trigger": ...}`` hands over, and in a choreography ``{"emit": ...}`` causes an event.
    The same in a mapping of any other kind is data.
    """


async def run_model(request: ModelRequest) -> Any:
    """Return the model's answer to *request*: a mapping if it is a JSON object, else its text.

    With an output type or schema it is what that says. An `AgentResult`, where the context asks for it.
    What it spends is counted by a meter of its own.
    """
    meter = open_agent_meter(request.agent, request.spec)
    token = enter_meter(meter)
    try:
        answer = await resolve_model_runner(request.agent, request.model)(request)
    finally:
        leave_meter(token)
    result = answer if isinstance(answer, AgentResult) else None
    if result is not None and result.usage is not NO_USAGE and not meter.used:
        meter.spend(result.usage)  # its runner counts for itself
    output: Any = answer if result is None else result.output
    spec = request.spec
    if spec is None or not spec.typed:
        output = read_answer(output)
    elif result is None and _check is not None:
        output = _check(request, output)
    if spec is None or spec.output_type is None or spec.added_output:
        output = _fields(output)
    if WHOLE_RESULT not in agent_context():
        return output
    usage = meter.spent
    if result is None:
        return AgentResult(output, usage)
    return replace(result, output=output, usage=usage)


def _fields(output: Any) -> Any:
    # A scripted model may answer with anything.
    return ModelFields(cast("Mapping[str, Any]", output)) if is_a(output, Mapping) else output


_FENCE: Final = "```"


def _unfenced(text: str) -> str:
    """Return what stands inside a Markdown fence around all of *text*; takes linear time."""
    if not (text.startswith(_FENCE) and text.endswith(_FENCE)):
        return text
    first, newline, rest = text.partition("\n")
    if newline and first[len(_FENCE) :].strip() in ("", "json", "JSON"):
        return rest[: -len(_FENCE)].strip()
    return text


def read_answer(answer: Any) -> Any:
    """Return *answer* as a mapping when its whole text is one JSON object, else unchanged.

    A Markdown fence around the object is taken off. Prose with an object somewhere inside stays
    prose: picking it out would turn an example into an answer.

    >>> read_answer('{"category": "health"}')
    {'category': 'health'}
    >>> read_answer("It is about health.")
    'It is about health.'
    """
    if not isinstance(answer, str):
        return answer
    text = _unfenced(answer.strip())
    if not (text.startswith("{") and text.endswith("}")):
        return answer
    try:
        # A hostile depth of brackets is text too, not a crash of the agent.
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return answer
    return cast(Mapping[str, Any], value) if isinstance(value, dict) else answer


def as_mapping(answer: Any) -> Mapping[str, Any]:
    """Return *answer* where a mapping is needed: itself, or ``{"result": answer}``."""
    if isinstance(answer, Mapping):
        return cast(Mapping[str, Any], answer)
    return {"result": answer}
