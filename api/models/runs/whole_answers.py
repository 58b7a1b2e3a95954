"""Answers that are the value itself, where pydantic-ai looks for it within an object."""

from __future__ import annotations

import json
import re
from types import NoneType
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_ai import ModelRetry
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.output import OutputContext
from pydantic_ai.tools import RunContext

_FENCED: Final = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?```", re.DOTALL | re.IGNORECASE)


class WholeAnswers(AbstractCapability[Any]):
    """Takes an answer that is a value of the output type, and not the object with one that was asked for.

    For a type that is not an object, as a number, a list, a mapping or a union, a model is asked to call a
    tool with the value as its argument. Many say ``[1, 2]`` or ``null`` instead, or give the mapping
    itself as the arguments. Looked at only where pydantic-ai has refused an answer.
    """

    def __init__(self, adapter: TypeAdapter[Any]) -> None:
        self._adapter = adapter

    async def on_output_validate_error(
        self,
        ctx: RunContext[Any],
        *,
        output_context: OutputContext,
        output: Any,
        error: ValidationError | ModelRetry,
    ) -> Any:
        # A function's arguments are not a value: those of a handoff least of all.
        if output_context.has_function:
            raise error
        if output in ({}, "{}", "") and output_context.output_type is NoneType:
            output = None
        value, is_data = _value(output)
        try:
            return self._adapter.validate_python(value)
        except ValidationError as own:
            # Of a text that is not JSON it says more than that.
            raise (error if is_data else own) from None


def _value(output: Any) -> tuple[Any, bool]:
    """Return the value that *output* says as JSON, else the text itself; and whether it is data."""
    if not isinstance(output, str):
        return output, True
    text = output.strip()
    fenced = _FENCED.fullmatch(text)
    text = text if fenced is None else fenced[1].strip()
    try:
        return json.loads(text), True
    except (ValueError, RecursionError):
        return (None, True) if text == "None" else (text, False)


__all__ = ["WholeAnswers"]
