"""The actor that carries out one attempt that is not an agent's.

A worker belongs to one coordinator and is linked to it: when the coordinator ends, for whatever
reason, its workers end, and with them what they do for this run. To stop one piece of work its
worker is told to exit, which cancels its await; the kernel abandons and fences what does not obey.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agenticaiframework.actors import (
    SHUTDOWN,
    Actor,
    HandlerExited,
    RequestTimeout,
    enter_agent_context,
)

from ...execution.function import FunctionTarget
from .attempt import StepAttempt


class Coroutine(FunctionTarget):
    """An ``async`` function, which the engine's own workers can run without another actor."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self.function = function


class WorkTimeout(TimeoutError):
    """A function did not return in time. It has been stopped."""

    def __init__(self, name: str, timeout_s: float) -> None:
        super().__init__(f"{name!r} did not return within {timeout_s:g} s")
        self.timeout_s = timeout_s


class StepWorker(Actor):
    """Asks, and tells its coordinator what came of it; one attempt after another."""

    exit_is_crash = True
    attempt: StepAttempt | None = None
    """What it works on."""

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do, and waits for the next attempt."""
        return self.attempt is None

    def circle_name(self, ref: Any) -> None:
        """Return nothing: it is a part of its run."""

    async def on_receive(self, message: StepAttempt) -> None:
        attempt = self.attempt = message
        scope = attempt.scope
        target: Any = attempt.target
        try:
            if target.__class__ is Coroutine:
                enter_agent_context(attempt.context)
                attempt.value = await target.function(attempt.payload)
            elif scope is not None and (within := getattr(target, "ask_within", None)) is not None:
                attempt.value = await within(attempt.payload, attempt.timeout_s, scope)
            else:
                attempt.value = await target.ask(
                    attempt.payload, attempt.timeout_s, context=attempt.context
                )
        except RequestTimeout as error:
            attempt.error = error
            if isinstance(target, FunctionTarget) and attempt.timeout_s is not None:
                # It was asked through an actor that is not known outside.
                attempt.error = WorkTimeout(target.name, attempt.timeout_s)
        except Exception as error:
            attempt.error = error
        except SystemExit as error:
            attempt.error = HandlerExited.of(target.name, error)
        self.attempt = None
        attempt.finished()

    def on_stop(self) -> None:
        # A handler that is killed hears nothing, so those it had asked would go on for nothing.
        adopted = None if self.attempt is None else self.attempt.adopted
        for ref in adopted or ():
            ref.exit(SHUTDOWN)
