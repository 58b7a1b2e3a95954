"""The model `scripted`: answers made of the question, the same every time, with nothing installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from agenticaiframework.actors import ModelRequest

from .prompts import render_prompt

# Long enough to recognise what was asked, short enough for a chain of agents to stay readable.
_EXCERPT = 160


async def run_scripted(request: ModelRequest) -> str | Mapping[str, Any]:
    """Return an answer that names the agent, its instructions and what it was asked.

    With an output schema the answer fits it: the first choice of an enumeration, the first form
    of a union, zero for a number, the text for a string.
    """
    prompt = " ".join(render_prompt(request.payload).split())
    if len(prompt) > _EXCERPT:
        prompt = prompt[: _EXCERPT - 3] + "..."
    text = f"[{request.agent}] {request.instructions or 'Answer'} | {prompt}"
    if request.output is None:
        return text
    return cast(Mapping[str, Any], _fill(request.output, text))


def _fill(schema: Mapping[str, Any], text: str) -> Any:
    """Return a value that fits *schema*, with *text* wherever text may stand."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return _fill(schema[union][0], text)
    match schema.get("type"):
        case "object":
            fields = cast(Mapping[str, Mapping[str, Any]], schema.get("properties", {}))
            return {name: _fill(field, text) for name, field in fields.items()}
        case "array":
            least = max(1, int(schema.get("minItems", 1)))
            return [_fill(schema.get("items", {}), text) for _ in range(least)]
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            # Loops end on a true field; a scripted one should end too.
            return True
        case "null":
            return None
        case _:
            limit = schema.get("maxLength")
            return text if limit is None else text[: int(limit)]
