"""A `ModelSpec` as one agent of pydantic-ai: built at the first request, and kept beside the spec."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import TYPE_CHECKING, Any, cast

from agenticaiframework.actors import ModelSpec, is_a

from ..content.output_types import adapter_of, is_object
from ..content.prompts import only_text_field
from ..content.schema_types import schema_type
from ..metering.run_limits import limits_for_run

if TYPE_CHECKING:
    from pydantic_ai.agent import AbstractAgent
    from pydantic_ai.capabilities import AbstractCapability
    from pydantic_ai.models import Model

    from ..tools.building import BuiltTools


@dataclass(frozen=True, slots=True)
class Assembled:
    """What the requests of one spec have in common."""

    agent: AbstractAgent[Any, Any]
    text_field: str | None = None
    """The name of the answer's only field, of free text: the model writes text, and this goes round it."""
    per_run: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What each run of *agent* is given in addition, where that was not made here."""
    limits: Any = None
    """pydantic-ai's limits of one run."""
    metered: Model | None = None
    """The model object that the agent was given alone, with its requests counted."""
    calls: bool = True
    """Whether a run may call functions of the user's, which then belong to the system."""


def assembled(spec: ModelSpec) -> Assembled:
    """Return what *spec* is built as: the first time, built now. Needs pydantic-ai imported."""
    found: Assembled | None = spec.built.it
    if found is None:
        found = spec.built.it = assemble(spec)
    return found


def assemble(spec: ModelSpec) -> Assembled:
    """Build the agent of pydantic-ai for *spec*."""
    # On a terminal, pydantic-ai prints a banner at its first run, into whatever is shown there.
    os.environ.setdefault("PYDANTIC_AI_NO_BANNER", "1")
    tools = built_tools(spec)
    if spec.wrapped is not None:
        return Assembled(spec.wrapped, None, _per_run(spec, tools), limits_for_run(spec))
    from pydantic_ai import Agent
    from pydantic_ai.models import Model

    from ..metering.spending import metered_model, metered_toolsets

    text_field = only_text_field(spec.output_schema)
    agent: Agent[Any, Any] = Agent(
        None,
        name=spec.agent,
        description=spec.description or None,
        instructions=spec.instructions,
        output_type=output_of(spec, text_field),
        model_settings=settings_of(spec),
        retries=spec.retries,  # type: ignore[arg-type]
        toolsets=metered_toolsets(tools.toolsets),
        capabilities=capabilities_of(spec, tools),
        defer_model_check=True,
    )
    metered: Model | None = None
    model: Any = spec.model
    if isinstance(model, Model) and not spec.fallback_models:
        metered = metered_model(cast("Model", model))
    return Assembled(
        agent,
        text_field,
        limits=limits_for_run(spec),
        metered=metered,
        calls=calls_functions(spec),
    )


def calls_functions(spec: ModelSpec) -> bool:
    """Tell whether a run of *spec* may call functions of the user's: pydantic-ai calls plain ones in threads."""
    several = (spec.tools, spec.guardrails, spec.handoffs, spec.fallback_models)
    if any(several) or spec.history not in (None, False):
        return True
    if callable(spec.model_settings) or not is_a(spec.instructions, str, NoneType):
        return True
    if spec.output_type is not None and not isinstance(spec.output_type, type):
        return True
    function = getattr(spec.model, "function", None)
    if function is not None:
        return not inspect.iscoroutinefunction(function)
    return not is_a(spec.model, str) and type(spec.model).__module__.split(".")[0] != "pydantic_ai"


def capabilities_of(spec: ModelSpec, tools: BuiltTools) -> list[AbstractCapability[Any]]:
    """Return what of ours goes round the requests of *spec*, the outermost first."""
    from .containing import ContainsExits, has_functions

    capabilities: list[AbstractCapability[Any]] = []
    if spec.wrapped is not None or has_functions(spec):
        capabilities.append(ContainsExits())
    if any(guardrail.when != "before" for guardrail in spec.guardrails):
        from .guarding import CheckedByGuardrails

        capabilities.append(CheckedByGuardrails())
    if spec.output_type is not None and not is_object(spec.output_type):
        adapter = adapter_of(spec)
        if adapter is not None:
            from .whole_answers import WholeAnswers

            capabilities.append(WholeAnswers(adapter))
    if spec.tools or spec.wrapped is not None:
        from ..durability.approval import Approval

        approval = Approval(spec.agent, spec.approve, registers_none=spec.wrapped is None)
        capabilities.append(approval)
    capabilities.extend(tools.capabilities)
    if spec.history is not None:
        from ..sessions.processing import history_processing

        capabilities += history_processing(spec)
    return capabilities


def built_tools(spec: ModelSpec) -> BuiltTools:
    """Return the tools of *spec* as toolsets and capabilities of pydantic-ai."""
    from ..tools.building import build_tools

    return build_tools(spec.agent, spec.tools)


def _per_run(spec: ModelSpec, tools: BuiltTools) -> dict[str, Any]:
    """Return what is given to each run of the agent that *spec* wraps."""
    from ..metering.spending import Spending
    from ..tools.building import kept_servers

    given: dict[str, Any] = {
        "instructions": spec.instructions,
        "output_type": _wrapped_output(spec),
        "model_settings": spec.model_settings,
        "retries": spec.retries,
        "toolsets": tools.toolsets,
        "capabilities": [
            *capabilities_of(spec, tools),
            Spending(),
            *kept_servers(spec.wrapped),
        ],
    }
    return {key: value for key, value in given.items() if value}


def _wrapped_output(spec: ModelSpec) -> Any:
    """Return the output type for the agent that *spec* wraps; None for the agent's own."""
    own = spec.output_type if spec.output_schema is None else schema_type(spec.output_schema)
    if not spec.handoffs:
        return own
    from ..content.turns import with_handoffs

    return with_handoffs(own or spec.wrapped.output_type, spec.handoffs)


def output_of(spec: ModelSpec, text_field: str | None) -> Any:
    """Return the output type for pydantic-ai, with the handoffs that *spec* may end a request with."""
    own = own_output_of(spec, text_field)
    if not spec.handoffs:
        return own
    from ..content.turns import with_handoffs

    return with_handoffs(own, spec.handoffs)


def own_output_of(spec: ModelSpec, text_field: str | None) -> Any:
    """Return the type of the answers that *spec* asks for."""
    if text_field is not None or not spec.typed:
        return str
    from pydantic_ai import NativeOutput, PromptedOutput, TextOutput, ToolOutput

    output: Any = spec.output_type
    if spec.output_schema is not None:
        output = schema_type(spec.output_schema)
    # A local model keeps to a schema only when its server enforces it, which the native mode
    # asks for; hosted ones take the way that pydantic-ai knows to be best for them.
    # Beside the tools of handoffs there is no native mode.
    marked = is_a(output, NativeOutput, PromptedOutput, TextOutput, ToolOutput)
    if output is str or marked or spec.handoffs or not is_local(spec.model):
        return str if output is None else output
    return NativeOutput(output)


def is_local(model: object) -> bool:
    """Tell whether *model* is the name of a model on this machine."""
    return isinstance(model, str) and model.strip().partition(":")[0] == "local"


def settings_of(spec: ModelSpec) -> Any:
    """Return the settings of the requests. How long one may take by default belongs to its provider."""
    return spec.model_settings
