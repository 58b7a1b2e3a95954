"""The model `scripted`: answers made of the question, the same every time, with nothing installed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from ..content.prompts import render_prompt
from .script import ScriptedRequest

# Long enough to recognise what was asked, short enough for a chain of agents to stay readable.
_EXCERPT = 160
# A schema may refer to itself.
_DEEPEST = 20


def fixed_answer(
    agent: str, instructions: object, payload: Any, schema: Mapping[str, Any] | None
) -> str | Mapping[str, Any]:
    """Return an answer that names the agent, its instructions and what it was asked.

    With a *schema* the answer fits it: the first choice of an enumeration, the first form
    of a union, zero for a number, the text for a string.
    """
    prompt = " ".join(render_prompt(payload).split())
    if len(prompt) > _EXCERPT:
        prompt = prompt[: _EXCERPT - 3] + "..."
    text = f"[{agent}] {instructions or 'Answer'} | {prompt}"
    if schema is None:
        return text
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    return cast(Mapping[str, Any], _fill(schema, text, definitions))


def scripted_answer(request: ScriptedRequest) -> str | Mapping[str, Any]:
    """Return `fixed_answer` for a request: the script of the model ``scripted``."""
    return fixed_answer(request.agent, request.instructions, request.payload, request.schema)


def _fill(
    schema: Mapping[str, Any], text: str, definitions: Mapping[str, Any], depth: int = 0
) -> Any:
    """Return a value that fits *schema*, with *text* wherever text may stand."""
    if depth > _DEEPEST:
        return None

    def fill(part: Mapping[str, Any]) -> Any:
        return _fill(part, text, definitions, depth + 1)

    if "$ref" in schema:
        return fill(definitions.get(str(schema["$ref"]).rpartition("/")[2], {}))
    for fixed in ("const", "default"):
        if fixed in schema:
            return schema[fixed]
    if "enum" in schema:
        return schema["enum"][0]
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return fill(schema[union][0])
    match schema.get("type"):
        case "object":
            fields = cast(Mapping[str, Mapping[str, Any]], schema.get("properties", {}))
            return {name: fill(field) for name, field in fields.items()}
        case "array":
            least = max(1, int(schema.get("minItems", 1)))
            return [fill(schema.get("items", {})) for _ in range(least)]
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            # Loops end on a true field; a scripted one should end too.
            return True
        case "null":
            return None
        case _:
            return _text(schema, text)


def _number(schema: Mapping[str, Any]) -> Any:
    if "exclusiveMinimum" in schema:
        return schema["exclusiveMinimum"] + 1
    least = schema.get("minimum", 0)
    return min(least, schema["maximum"]) if "maximum" in schema else least


_FORMATS: Final = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "scripted@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
"""A text for each format that a schema may ask for."""


def _text(schema: Mapping[str, Any], text: str) -> str:
    text = _FORMATS.get(str(schema.get("format")), text)
    limit = schema.get("maxLength")
    text = text.ljust(int(schema.get("minLength", 0)), ".")
    text = text if limit is None else text[: int(limit)]
    pattern = schema.get("pattern")
    if pattern is None or re.search(pattern, text):
        return text
    return next((each for each in _TRIED if re.search(pattern, each)), text)


_TRIED: Final = (
    "a",
    "A",
    "aaa",
    "0",
    "000",
    "2026-01-31",
    "a@example.org",
    "https://example.org",
    "",
)
"""Texts that match the patterns of most schemas."""
