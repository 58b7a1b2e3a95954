"""The form that definitions have: frozen models, checked as a whole when they are made.

A definition says everything that is wrong with it in one error, in its author's
terms: where (``steps[1]``), what, and the right form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    model_validator,
)

from agenticaiframework.actors import near_names, shown

from .bounds import DEFINITIONS
from .errors import DefinitionError, Problems

_HINTS: Final = 5

DefinitionT = TypeVar("DefinitionT", bound="Definition")


class Definition(BaseModel):
    """Base of all definitions: frozen, and no field that it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=False
    )

    also_known_as: ClassVar[Mapping[str, str]] = {}
    """Other spellings of fields that are accepted: spelling -> field."""

    if not TYPE_CHECKING:  # where the fields are the options

        def __init__(self, /, *args: Any, **data: Any) -> None:
            if args:
                kind = type(self).__name__
                first, field = next(iter(type(self).model_fields.items()))
                value = shown(args[0], 60) if field.is_required() else "..."
                given = f"{kind}({first}={value})"
                raise DefinitionError(kind, [f"its fields are given by name, such as {given}"])
            check_bounds(type(self).__name__, data)
            try:
                super().__init__(**data)
            except ValidationError as error:
                name = data.get("name")
                kind = type(self).__name__
                what = f"{kind} {name!r}" if isinstance(name, str) and name else kind
                raise DefinitionError(what, _problems(error)) from None

        # pydantic would call any other constructor for nested definitions too, and their mistakes would
        # lose their place in the whole.
        __init__.__pydantic_base_init__ = True

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
                # A hint takes a comparison with every field, so only the first few get one.
                hint = f" {near_names(str(key), known)}" if len(problems) < _HINTS else ""
                problems.append(f"unknown field {shown(key, 100)}.{hint}")
            elif field in fields:
                problems.append(f"{field!r} is given twice, also as {key!r}")
            else:
                fields[field] = value
        if problems:
            raise Problems(problems)
        return fields


def check_bounds(what: str, data: Any) -> None:
    """Raise `DefinitionError` for what is too large, too deep, or in itself."""
    problem = DEFINITIONS.problem(data)
    if problem is not None:
        raise DefinitionError(what, [problem])


def define(model: type[DefinitionT], what: str, data: Any, example: str = "") -> DefinitionT:
    """Return *data* as a checked *model*; raises `DefinitionError` that speaks of *what*."""
    check_bounds(what, data)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise DefinitionError(what, _problems(error), example) from None


def _problems(error: ValidationError) -> list[str]:
    entries = error.errors(include_url=False)
    around = {entry["loc"][:length] for entry in entries for length in range(len(entry["loc"]))}
    problems: list[str] = []
    for entry in entries:
        if entry["loc"] in around:
            # A list whose items are wrong is also "too short"; the items say it better.
            continue
        where = _where(entry["loc"])
        kind = entry["type"]
        about = entry.get("ctx", {})
        message = str(entry["msg"])
        several = about.get("error")
        if isinstance(several, Problems):
            problems += [f"{where}: {told}" if where else told for told in several.problems]
            continue
        if kind == "missing":
            message = "is missing"
        elif kind == "too_short":
            least, given = about["min_length"], about["actual_length"]
            items = "item is" if least == 1 else "items are"
            message = f"at least {least} {items} needed, not {given}"
        elif kind == "tuple_type":
            message = f"a list is needed, not {shown(entry['input'], 60)}"
        elif kind == "model_type":
            wanted = about["class_name"]
            message = f"a mapping or {wanted}(...) is needed, not {shown(entry['input'], 60)}"
        elif entry["loc"][-1:] == ("[key]",):
            where = _where(entry["loc"][:-2])
            message = f"the name {shown(entry['input'], 60)} is not a text: in YAML it needs quotes"
        elif kind == "value_error":
            message = message.removeprefix("Value error, ")
        else:
            message = f"{message[0].lower()}{message[1:]}, not {shown(entry['input'], 60)}"
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
