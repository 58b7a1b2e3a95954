"""The form that definitions have: frozen models, checked as a whole when they are made.

A definition says everything that is wrong with it in one error, in the words of the one who wrote
it: where (``steps[1]``), what, and the right form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar, cast

import pykka
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from agenticaiframework.actors import ActorRef, AgenticError, near

from ..expressions.expression import compile_expression
from ..vocabulary.target import Target
from .actor_target import ActorTarget

DefinitionT = TypeVar("DefinitionT", bound="Definition")


class DefinitionError(AgenticError, ValueError):
    """A definition makes no sense. ``problems`` lists everything that is wrong with it."""

    def __init__(self, what: str, problems: Iterable[str], example: str = "") -> None:
        self.what = what
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            text = f"{what}: {self.problems[0]}"
        else:
            text = f"{what}:" + "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"{text}\nFor example: {example}" if example else text)


class Definition(BaseModel):
    """Base of all definitions: frozen, and no field that it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=False
    )

    also_known_as: ClassVar[Mapping[str, str]] = {}
    """Other spellings of fields that are accepted: spelling -> field."""

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            name = data.get("name")
            kind = type(self).__name__
            what = f"{kind} {name!r}" if isinstance(name, str) and name else kind
            raise DefinitionError(what, _problems(error)) from None

    # pydantic would call any other constructor for nested definitions too, and their mistakes would
    # lose their place in the whole.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @model_validator(mode="before")
    @classmethod
    def _read_fields(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        given = cast(Mapping[Any, Any], data)
        known = cls.model_fields
        fields: dict[str, Any] = {}
        problems: list[str] = []
        for key, value in given.items():
            field = cls.also_known_as.get(key, key)
            if field not in known:
                problems.append(f"unknown field {key!r}. {near(str(key), known)}")
            elif field in fields:
                problems.append(f"{field!r} is given twice, also as {key!r}")
            else:
                fields[field] = value
        if problems:
            raise ValueError("; ".join(problems))
        return fields


def define(model: type[DefinitionT], what: str, data: Any, example: str = "") -> DefinitionT:
    """Return *data* as a checked *model*; raises `DefinitionError` that speaks of *what*."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise DefinitionError(what, _problems(error), example) from None


def _problems(error: ValidationError) -> list[str]:
    entries = error.errors(include_url=False)
    places = [entry["loc"] for entry in entries]
    problems: list[str] = []
    for entry in entries:
        place = entry["loc"]
        if any(len(p) > len(place) and p[: len(place)] == place for p in places):
            # A list whose items are wrong is also "too short"; the items say it better.
            continue
        where = _where(entry["loc"])
        kind = entry["type"]
        about = entry.get("ctx", {})
        message = str(entry["msg"])
        if kind == "missing":
            message = "is missing"
        elif kind == "too_short":
            least, given = about["min_length"], about["actual_length"]
            items = "item is" if least == 1 else "items are"
            message = f"at least {least} {items} needed, not {given}"
        elif kind == "tuple_type":
            message = f"a list is needed, not {_shown(entry['input'])}"
        elif kind == "model_type":
            wanted = about["class_name"]
            message = f"a mapping or {wanted}(...) is needed, not {_shown(entry['input'])}"
        elif kind == "value_error":
            message = message.removeprefix("Value error, ")
        else:
            message = f"{message[0].lower()}{message[1:]}, not {_shown(entry['input'])}"
        problems.append(f"{where}: {message}" if where else message)
    return problems


def _where(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier():
            text += f".{part}" if text else part
    return text


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# -- fields that several definitions have ------------------------------------------------------


def read_target(value: Any) -> Target:
    """Return *value* as something that stands where an agent can; raises ValueError otherwise.

    A mapping with ``"pattern"`` in it is the definition of a nested pattern.
    """
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("an agent's name is empty")
        return value
    if isinstance(value, Mapping):
        from .registry import pattern_from_dict

        return pattern_from_dict(cast(Mapping[str, Any], value))
    if isinstance(value, type):
        raise ValueError(f"{value.__name__} is a class. Give an instance: {value.__name__}(...)")
    if isinstance(value, ActorRef):
        return ActorTarget(cast("ActorRef[Any]", value))
    if isinstance(value, pykka.ActorRef):
        shown = _shown(cast(object, value))
        raise ValueError(
            f"{shown} runs outside of any ActorSystem, and asking it would block. Put it behind a "
            "function: lambda payload: ref.ask(payload)"
        )
    if callable(getattr(value, "ask", None)) or callable(value):
        return cast(Target, value)
    raise ValueError(
        f"{_shown(value)} cannot be asked. Give an agent's name, an Agent, a pattern, a team, or a "
        "function of the payload"
    )


TargetField: TypeAlias = Annotated[
    Target,
    PlainValidator(read_target),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
]

Test: TypeAlias = Callable[[Mapping[str, Any]], bool]


def read_condition(value: Any) -> str | Test:
    """Return *value* as a condition: an expression that can be read, or a function of the scope."""
    if isinstance(value, str):
        compile_expression(value)
        return value
    if callable(value):
        return cast(Test, value)
    raise ValueError(
        f"a condition is an expression such as \"input.x == 'y'\", not {_shown(value)}"
    )


ConditionField: TypeAlias = Annotated[
    str | Test, PlainValidator(read_condition), WithJsonSchema({"type": "string"})
]


def compile_condition(condition: str | Test) -> Test:
    """Return *condition* as a function of the scope that tells whether it holds."""
    return compile_expression(condition).test if isinstance(condition, str) else condition


Seconds: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A time in seconds, more than none."""
