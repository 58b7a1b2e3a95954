"""A gate as it is seen from another loop: for handlers in threads, whose requests count as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from functools import partial
from typing import Any

from .limits import Gate, Pass
from .settings import ProviderSettings


class FarGate:
    """*gate*, whose state belongs to *loop*, for code on other loops. It keeps nothing itself."""

    open = False

    def __init__(self, gate: Gate, loop: asyncio.AbstractEventLoop) -> None:
        self._gate = gate
        self._loop = loop

    @property
    def settings(self) -> ProviderSettings:
        """What is set for its name now."""
        return self._gate.settings

    @property
    def counts_tokens(self) -> bool:
        """Whether the tokens of a request count."""
        return self._gate.counts_tokens

    def enter_now(self) -> Pass:
        """Never called: it is not `open`, as that may change at any moment."""
        raise AssertionError("a gate of another loop is entered with a wait")

    async def enter(self, tokens: float, patience_s: float | None) -> Pass:
        """As `Gate.enter`."""
        entered: Future[Pass] = Future()
        asyncio.run_coroutine_threadsafe(self._enter(entered, tokens, patience_s), self._loop)
        try:
            return await asyncio.wrap_future(entered)
        except asyncio.CancelledError:
            if not entered.cancel() and not entered.cancelled() and entered.exception() is None:
                self.leave(entered.result(), answered=False)  # let in just as it was called off
            raise

    async def _enter(self, entered: Future[Pass], tokens: float, patience_s: float | None) -> None:
        """Enter, on the gate's loop. One of two comes first: the result of *entered*, or its end."""
        task = asyncio.ensure_future(self._gate.enter(tokens, patience_s))
        entered.add_done_callback(lambda _: self._call(partial(_called_off, entered, task)))
        try:
            passed = await task
        except asyncio.CancelledError:
            entered.cancel()
        except Exception as error:
            if not entered.cancelled():
                _set(entered.set_exception, error)
        else:
            if not _set(entered.set_result, passed):
                self._gate.leave(passed, answered=False)

    def leave(self, passed: Pass, **how: Any) -> None:
        """As `Gate.leave`."""
        self._call(partial(self._gate.leave, passed, **how))

    def pause(self, delay_s: float, why: str) -> None:
        """As `Gate.pause`."""
        self._call(partial(self._gate.pause, delay_s, why))

    def _call(self, fn: Callable[[], object]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(fn)


def _called_off(entered: Future[Pass], task: asyncio.Future[Pass]) -> None:
    if entered.cancelled():
        task.cancel()


def _set(setter: Callable[[Any], None], value: Any) -> bool:
    try:
        setter(value)
    except InvalidStateError:
        return False  # it was called off in this moment
    return True
