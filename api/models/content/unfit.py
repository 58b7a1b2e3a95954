"""The error of an answer that does not have the form that its agent asks for, and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, cast, get_args, get_origin

from pydantic import ValidationError

from agenticaiframework.actors import AgenticError, ModelSpec, shown

_LONGEST_SHOWN: Final = 500
_LONGEST_INPUT: Final = 120


class UnfitAnswer(AgenticError):
    """The answer of a model does not have the form that its agent asks for, after all tries.

    *problems* says what is wrong with the last one, *answer* is that, where it is known. It is the
    failure of one request: the agent is well.
    """

    expected = True

    def __init__(
        self, agent: str, form: str, problems: Sequence[str], answer: Any = None, tries: int = 1
    ) -> None:
        told = "; ".join(problems).rstrip(".")
        last = "" if answer is None else f" It was: {shown(answer, _LONGEST_SHOWN)}."
        often = "once" if tries == 1 else f"{tries} times"
        super().__init__(
            f"The model of agent {agent!r} has answered {often}, and the answer does not fit {form}: "
            f"{told}.{last} Agent(..., retries={{'output': {tries}}}) lets it try once more."
        )
        self.agent = agent
        self.problems = tuple(problems)
        self.answer = answer
        self.tries = tries


def form_of(spec: ModelSpec) -> str:
    """Return what *spec* calls the form of its answers."""
    if spec.output_schema is not None:
        return f"the output schema {spec.output_schema.get('title', '')!r}".replace(" ''", "")
    output = spec.output_type
    if output is None:
        return "what it was asked for: a text, or one of its handoffs"
    return f"the output type {type_name(output)}"


def type_name(output: Any) -> str:
    """Return how *output*, a type or several, is written.

    >>> type_name(list[int]), type_name(Optional[list[dict[str, int]]])
    ('list[int]', 'list[dict[str, int]] | None')
    """
    arguments = get_args(output)
    if isinstance(output, (list, tuple)):
        return f"[{', '.join(map(type_name, cast('Sequence[Any]', output)))}]"
    if output is NoneType:
        return "None"
    if not arguments:
        return getattr(output, "__name__", None) or shown(output, 200)
    origin = get_origin(output)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin in (Union, UnionType):
        return " | ".join(map(type_name, arguments))
    return f"{type_name(origin)}[{', '.join(map(type_name, arguments))}]"


def tries_of(spec: ModelSpec) -> int:
    """Return how often the model may answer, the first time included."""
    retries = spec.retries
    if isinstance(retries, Mapping):
        retries = retries.get("output")
    return 2 if retries is None else retries + 1


def problems_of(error: BaseException | None) -> list[str]:
    """Return what *error*, the cause of a last try that failed, says is wrong."""
    if error is None:
        return ["it has no such part"]
    if isinstance(error, ValidationError):
        return _lines(error.errors(include_url=False))
    content = getattr(getattr(error, "tool_retry", None), "content", None)
    if isinstance(content, list):
        return _lines(cast("list[Any]", content))
    return [str(content or error).strip()]


def _lines(errors: Sequence[Mapping[str, Any]]) -> list[str]:
    # Beside a type pydantic-ai takes its JSON as a text: that it is none says nothing of the answer.
    told = [each for each in errors if not any(map(_is_json_form, each.get("loc", ())))]
    return [_line(each) for each in told or errors]


def _is_json_form(part: object) -> bool:
    return isinstance(part, str) and part.startswith("json[") and part.endswith("]")


def _line(error: Mapping[str, Any]) -> str:
    parts = [str(part) for part in error.get("loc", ()) if part != "response"]
    place = ".".join(
        part for part in parts if "[" not in part
    )  # list[int]: a way to read it, no place
    if place:
        return f"{place}: {error['msg']}"
    said = str(error["msg"])
    if "input" not in error or not said.startswith("Input should be"):
        return said
    return f"{said}, not {shown(error['input'], _LONGEST_INPUT)}"


__all__ = ["UnfitAnswer", "form_of", "problems_of", "tries_of"]
