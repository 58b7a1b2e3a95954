"""Tasks of a simulated loop: asyncio's own, made repeatable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol


class _NumbersTasks(Protocol):
    next_task_serial: Callable[[], int]


class SimTask(asyncio.Task[Any]):
    """A task with a hash that is the same in every run.

    asyncio keeps tasks in sets (a TaskGroup, `asyncio.wait`, cancelling what is left at the end),
    and a hash made from the address would let the memory layout decide the order.
    """

    __slots__ = ("serial",)
    serial: int

    def __new__(  # pyright: ignore[reportInconsistentConstructor]
        cls, coro: Coroutine[Any, Any, Any], *, loop: _NumbersTasks, **kwargs: Any
    ) -> SimTask:
        task = asyncio.Task.__new__(cls)
        # Here and not in __init__, where asyncio already puts the task into a set.
        task.serial = loop.next_task_serial()
        return task

    def __hash__(self) -> int:
        return self.serial

    def __eq__(self, other: object) -> bool:
        return self is other


def describe_task(task: asyncio.Task[Any]) -> str:
    """Return the name of *task* and the line at which it waits."""
    where = ""
    frames = task.get_stack(limit=1)
    if frames:
        code = frames[0].f_code
        where = f" at {code.co_filename}:{frames[0].f_lineno} in {code.co_qualname}"
    return f"{task.get_name()}{where}"
