"""Functions that a request calls and that raise what ends programs: it is the request that they fail.

A handler's own `SystemExit` is decided about by the kernel. What a library calls for the request, in
tasks that the library has made, does not come so far: asyncio would end the loop with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dis import opname
from typing import Any, Final

from .errors import AgenticError, HandlerExited
from .secrets import message_of

_OF_THE_WAY: Final = frozenset(
    {
        *("agenticaiframework", "pydantic_ai", "pydantic_graph", "pydantic", "pydantic_core"),
        *("anyio", "asyncio", "concurrent", "contextlib", "functools", "threading"),
    }
)
"""The packages on the way to a function of the user's."""


class FunctionExited(HandlerExited):
    """A function that a request calls raised what is not an `Exception`, as `sys.exit` does.

    That fails the request, and neither the loop nor the program. *function* is its name, and what it
    raised the ``__cause__``.
    """

    def __init__(self, function: str, error: BaseException) -> None:
        text = message_of(error)
        said = f"{type(error).__name__}: {text}" if text else type(error).__name__
        # Not its parent's: that speaks of a handler.
        AgenticError.__init__(
            self,
            f"{function} raised {said}, which fails this request, and does not end the program. "
            "To end the program, let its main code know.",
        )
        self.actor = self.function = function
        self.code = getattr(error, "code", None)

    @classmethod
    def of(cls, error: BaseException) -> FunctionExited:  # type: ignore[override]
        """Return the failure that *error* is, whose traceback tells the function."""
        exited = cls(_function_of(error), error)
        exited.__cause__ = error
        return exited


def exit_of(error: BaseException) -> FunctionExited | None:
    """Return the failure of one request that *error* is; None for what comes from outside of it.

    *error* is not an `Exception`. The function is told by the traceback.
    """
    return FunctionExited.of(error) if is_of_call(error) else None


class _Contained:
    """A block in which functions of the user's are called: what ends programs fails the request alone."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, frames: object) -> None:
        if error is None or isinstance(error, Exception):
            return
        exited = exit_of(error)
        if exited is not None:
            raise exited from error


contained: Final = _Contained()
"""The block; it has no state."""


def call_for_future(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Return what *fn* returns, in a thread whose outcome a future has.

    A future takes no `StopIteration`, so nothing would ever come of it, and a `GeneratorExit` out of one
    closes what awaits it.
    """
    try:
        return fn(*args, **kwargs)
    except (StopIteration, GeneratorExit) as error:
        raise FunctionExited.of(error) from error


def is_of_call(error: BaseException) -> bool:
    """Tell whether *error*, which is not an `Exception`, was raised by the function that is called.

    It may also come from outside: a cancellation, whose end the kernel decides about; the closing of a
    coroutine; and an interrupt from the keyboard, which is raised wherever the main thread is, or by
    asyncio's handler of it.
    """
    if isinstance(error, asyncio.CancelledError):
        return False
    if not isinstance(error, (KeyboardInterrupt, GeneratorExit)):
        return True
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or last.tb_frame.f_globals.get("__name__") == "asyncio.runners":
        return False
    return opname[last.tb_frame.f_code.co_code[last.tb_lasti]].startswith("RAISE")


def _function_of(error: BaseException) -> str:
    """Return how the function is called that raised *error*: the first on the way that is the user's."""
    frames = error.__traceback__
    while frames is not None:
        module = str(frames.tb_frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in _OF_THE_WAY:
            return f"The function {frames.tb_frame.f_code.co_qualname!r}"
        frames = frames.tb_next
    return "A function"


__all__ = ["FunctionExited", "call_for_future", "contained", "exit_of", "is_of_call"]
