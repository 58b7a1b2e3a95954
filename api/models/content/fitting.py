"""Answers that do not come through pydantic-ai, in the form that their agent asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from agenticaiframework.actors import ModelRequest, ModelSpec, read_answer
from agenticaiframework.patterns import Handoff

from .output_types import adapter_of
from .unfit import UnfitAnswer, form_of, problems_of


def fit_answer(request: ModelRequest, answer: Any) -> Any:
    """Return *answer* in the form that *request* asks for. Raises `UnfitAnswer`.

    For the answers of runners that pydantic-ai does not check. A text is read as JSON, where it is not
    the answer already. Output functions are pydantic-ai's own; an answer for one stays as it is.
    """
    spec = request.spec
    if spec is None or spec.added_output:
        return read_answer(answer)
    if spec.handoffs:
        handed = _handed(spec, answer)
        if handed is not None:
            return handed
    adapter = adapter_of(spec)
    if adapter is None:
        return answer
    if spec.output_schema is not None:
        answer = read_answer(answer)
    try:
        return _validated(adapter, answer)
    except ValidationError as error:
        raise UnfitAnswer(spec.agent, form_of(spec), problems_of(error), answer) from error


def _handed(spec: ModelSpec, answer: Any) -> Any:
    """Return the handoff that *answer* is: one itself, or a mapping with its trigger. A text is none."""
    if isinstance(answer, Handoff):
        return answer
    if isinstance(answer, Mapping):
        fields = cast("Mapping[str, Any]", answer)
        for tool in spec.handoffs:
            if fields.get("trigger") in (tool.trigger, tool.name):
                return tool.answer(fields.get("data"))
    return None


def _validated(adapter: TypeAdapter[Any], answer: Any) -> Any:
    try:
        return adapter.validate_python(answer)
    except ValidationError:
        if not isinstance(answer, str):
            raise
        try:
            value = json.loads(unfenced(answer))
        except (ValueError, RecursionError):
            value = None
        if value is None:
            raise
    return adapter.validate_python(value)


def unfenced(text: str) -> str:
    """Return what stands inside a Markdown fence around all of *text*.

    >>> unfenced('```json\\n{"a": 1}\\n```')
    '{"a": 1}'
    """
    text = text.strip()
    first, newline, rest = text.partition("\n")
    if newline and first.startswith("```") and rest.endswith("```"):
        return rest[:-3].strip()
    return text


__all__ = ["fit_answer", "unfenced"]
