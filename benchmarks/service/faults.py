"""What the agents of the service do beside their work: fail in every way that is known."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any


class CannotBeShown(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        raise ValueError("no text either")

    def __repr__(self) -> str:
        raise ValueError("nor a repr")

    def __reduce__(self) -> str:
        raise ValueError("nor a pickle")


class NotAnException(BaseException):
    """What `except Exception` lets through."""


class Endless(Exception):
    """An error that is its own cause, with a long text."""

    def __init__(self) -> None:
        super().__init__("x" * 100_000)
        self.__cause__ = self


async def _crash() -> None:
    raise RuntimeError("the agent has crashed")


async def _hang() -> None:
    await asyncio.Event().wait()


async def _block() -> None:
    time.sleep(0.15)  # noqa: ASYNC251 - that it blocks the loop is the fault


async def _slow() -> None:
    await asyncio.sleep(0.5)


async def _cannot_be_shown() -> None:
    raise CannotBeShown


async def _not_an_exception() -> None:
    raise NotAnException("not an Exception")


async def _exit() -> None:
    sys.exit(3)


async def _endless() -> None:
    raise Endless


async def _group() -> None:
    raise BaseExceptionGroup("several", [NotAnException("one"), CannotBeShown()])


async def _cancelled() -> None:
    raise asyncio.CancelledError("nobody asked for it")


async def _swallow() -> None:
    """Hang, and hold on for a while when told to end."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0.3)
        raise


FAULTS: dict[str, tuple[float, Callable[[], Any]]] = {
    "crash": (0.015, _crash),
    "slow": (0.004, _slow),
    "hang": (0.001, _hang),
    "swallow": (0.0005, _swallow),
    "block": (0.002, _block),
    "cannot be shown": (0.002, _cannot_be_shown),
    "not an exception": (0.002, _not_an_exception),
    "exit": (0.002, _exit),
    "endless": (0.002, _endless),
    "group": (0.002, _group),
    "cancelled": (0.002, _cancelled),
}
"""How likely each is in one attempt, and what it does."""


def chosen(random: Random, scale: float) -> str:
    """Return the name of a fault, or an empty text; *scale* times as likely as `FAULTS` says."""
    draw = random.random()
    for name, (share, _) in FAULTS.items():
        draw -= share * scale
        if draw < 0:
            return name
    return ""
