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
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from ..errors import AgenticError


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One question to a model: which agent asks, which model, and under which instructions.

    *model* is a name, or a model object of the library that will run it. *payload* is what the
    agent was sent, untouched. *output* is a JSON schema that the answer has to fit, for runners
    that can make a model keep to one; None leaves the answer free.
    """

    agent: str
    model: object
    instructions: str | None
    payload: Any
    output: Mapping[str, Any] | None = None


ModelAnswer: TypeAlias = str | Mapping[str, Any]
ModelRunner: TypeAlias = Callable[[ModelRequest], Awaitable[ModelAnswer]]
ModelRunnerFactory: TypeAlias = Callable[[object], ModelRunner]


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
_overrides: tuple[tuple[object, ModelRunner], ...] = ()


def set_model_runner_factory(factory: ModelRunnerFactory | None) -> ModelRunnerFactory | None:
    """Let *factory* turn model names into runners from now on; return the one it replaces."""
    global _factory
    previous, _factory = _factory, factory
    return previous


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


async def run_model(request: ModelRequest) -> ModelAnswer:
    """Return the model's answer to *request*: a mapping if it is a JSON object, else its text."""
    answer = await resolve_model_runner(request.agent, request.model)(request)
    return read_answer(answer)


_FENCED = re.compile(
    r"\A```[ \t]*(?:json|JSON)?[ \t]*\r?\n(?P<body>.*?)\r?\n?[ \t]*```\Z", re.DOTALL
)


def read_answer(answer: ModelAnswer) -> ModelAnswer:
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
    text = answer.strip()
    fenced = _FENCED.match(text)
    if fenced is not None:
        text = fenced["body"].strip()
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
