"""What code wants of the run that it is the code of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .returns import Annotations


class Answer(Protocol):
    """What a call that is awaited waits for."""

    def __await__(self) -> Any: ...

    def reply(self, value: Any = None) -> None:
        """Let the call return *value*."""
        ...

    def fail(self, error: BaseException) -> None:
        """Let the call raise *error*."""
        ...


class CodeHost(Protocol):
    """Takes the calls of the code, in the turn in which they are made."""

    @property
    def id(self) -> str:
        """The id of the run."""
        ...

    @property
    def workflow(self) -> str:
        """The name of the workflow."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of the run."""
        ...

    @property
    def annotations(self) -> Annotations:
        """The types that the functions of the workflow's steps are annotated to return."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the code is put away: nothing that it does counts."""
        ...

    @property
    def branches(self) -> dict[Any, None]:
        """The tasks in which the code runs, in the order in which they began."""
        ...

    @property
    def idle(self) -> dict[Any, None]:
        """The calls that were made, and that nothing has awaited yet."""
        ...

    def answer(self) -> Answer:
        """Return what waits until it is told."""
        ...

    def begin(self, call: Any) -> None:
        """Have *call* carried out, or find out what came of it before."""
        ...

    def leave(self, call: Any) -> None:
        """Take note that nothing waits for *call* any more."""
        ...

    def value(self, branch: Any, name: str, make: Callable[[], Any]) -> Any:
        """Return what *make* returned when the code was here first."""
        ...

    def changed(self, branch: Any, name: str) -> bool:
        """Tell whether the code was here first as it is now."""
        ...

    def show(self, state: Mapping[str, Any]) -> None:
        """Let *state* be what the run shows."""
        ...

    def clock(self) -> float:
        """Return the seconds since the epoch."""
        ...

    def chance(self) -> float:
        """Return a random number from 0 to 1."""
        ...

    def bits(self, count: int) -> int:
        """Return a random number of *count* bits."""
        ...

    def dirty(self) -> None:
        """Take note that the code has done something, and have it looked at when its turn is over."""
        ...
