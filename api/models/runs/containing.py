"""Functions in a run of pydantic-ai: what one raises that would end the program fails the request."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic_ai.capabilities import (
    AbstractCapability,
    AgentNode,
    NodeResult,
    RawOutput,
    RawToolArgs,
    ValidatedToolArgs,
    WrapNodeRunHandler,
    WrapOutputProcessHandler,
    WrapOutputValidateHandler,
    WrapToolExecuteHandler,
    WrapToolValidateHandler,
)
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.output import OutputContext
from pydantic_ai.tools import RunContext, ToolDefinition

from agenticaiframework.actors import ModelSpec, contained, is_a

from ..content.output_types import adapter_of, plain_type
from ..sessions.history import as_history
from ..tools.declared import AgentTool
from ..tools.reading import kind_of, read_tools, tool_name
from ..tools.signatures import parameters_of


class ContainsExits(AbstractCapability[Any]):
    """Lets what a function raises that is not an `Exception` fail the run as an error.

    pydantic-ai calls functions of the user's in tasks of its own, out of which a `SystemExit` would end
    the loop, and the program with it. It has no state.
    """

    async def wrap_node_run(
        self, ctx: RunContext[Any], *, node: AgentNode[Any], handler: WrapNodeRunHandler[Any]
    ) -> NodeResult[Any]:
        run = node.run

        async def contained_run(graph: Any) -> Any:
            with contained:
                return await run(graph)

        # The task is made beneath the handler, and calls the node: no hook is within it.
        own = vars(node)
        own["run"] = contained_run
        try:
            with contained:
                return await handler(node)
        finally:
            del own["run"]

    async def wrap_tool_validate(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: RawToolArgs,
        handler: WrapToolValidateHandler,
    ) -> ValidatedToolArgs:
        with contained:
            return await handler(args)

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: ValidatedToolArgs,
        handler: WrapToolExecuteHandler,
    ) -> Any:
        with contained:
            return await handler(args)

    async def wrap_output_validate(
        self,
        ctx: RunContext[Any],
        *,
        output_context: OutputContext,
        output: RawOutput,
        handler: WrapOutputValidateHandler,
    ) -> Any:
        with contained:
            return await handler(output)

    async def wrap_output_process(
        self,
        ctx: RunContext[Any],
        *,
        output_context: OutputContext,
        output: Any,
        handler: WrapOutputProcessHandler,
    ) -> Any:
        with contained:
            return await handler(output)


def has_functions(spec: ModelSpec) -> bool:
    """Tell whether pydantic-ai calls functions of the user's for *spec*, beside its model and tools.

    Those are called where what they raise is contained already, and most agents have no others.
    """
    if callable(spec.model_settings) or not is_a(spec.instructions, str, NoneType):
        return True
    history = as_history(spec.agent, spec.history)
    if history is not None and history.processors:
        return True
    return _output_calls(spec) or any(map(_tool_calls, read_tools(spec.agent, spec.tools)))


def _output_calls(spec: ModelSpec) -> bool:
    """Tell whether making an answer of *spec* calls a function: the output type itself, or a validator."""
    output = spec.output_type
    if output is None or output is str:
        return False
    if plain_type(output) is None:
        return True
    adapter = adapter_of(spec)
    return adapter is None or schema_calls(adapter.core_schema)


def _tool_calls(declared: AgentTool) -> bool:
    """Tell whether more than the tool itself is called: what prepares it, or checks its arguments."""
    what = declared.what
    kind = kind_of(what)
    if kind == "function":
        hints = parameters_of(what, tool_name(declared)).values()
        return any(schema_calls(TypeAdapter(hint).core_schema) for hint in hints)
    return kind in ("tool", "toolset", "capability")


def schema_calls(schema: Any) -> bool:
    """Tell whether checking a value against pydantic's *schema* may call a function of the user's."""
    waiting: list[Any] = [schema]
    while waiting:
        each: Any = waiting.pop()
        if isinstance(each, Mapping):
            fields = cast("Mapping[str, Any]", each)
            if str(fields.get("type", "")).startswith("function") or fields.get("post_init"):
                return True
            if fields.get("custom_init"):
                return True
            waiting.extend(fields.values())
        elif isinstance(each, (list, tuple)):
            waiting.extend(cast("list[Any]", each))
    return False


__all__ = ["ContainsExits", "has_functions", "schema_calls"]
