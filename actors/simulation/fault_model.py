"""What all faults have in common: frozen data that checks itself and prints as the code that makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from .errors import BadSimulation

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


def bad_fault(kind: str, problem: str, example: str) -> BadSimulation:
    """Return the error for a fault that could never land, with the form that works."""
    return BadSimulation(f"{kind}: {problem}. Write for example {example}")


class FaultModel(BaseModel):
    """Common to all faults: frozen, exact about its fields, short when printed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    example: ClassVar[str] = ""

    if not TYPE_CHECKING:

        def __init__(self, *first: Any, **data: Any) -> None:
            """Take the first field also by position: ``Crash("worker", at_message=2)``."""
            if len(first) > 1:
                name = type(self).__name__
                raise bad_fault(name, "only its first field goes by position", self.example)
            if first:
                name = next(name for name in type(self).model_fields if name != "kind")
                data = {name: first[0], **data}
            super().__init__(**data)

    def code(self) -> str:
        """Return the Python expression that makes this fault."""
        given = (
            f"{name}={value!r}"
            for name, field in type(self).model_fields.items()
            if name != "kind" and (value := getattr(self, name)) != field.default
        )
        return f"{type(self).__name__}({', '.join(given)})"

    def __str__(self) -> str:
        return self.code()
