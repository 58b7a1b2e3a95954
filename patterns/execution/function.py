"""Functions that stand where an agent can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from agenticaiframework.actors import (
    SHUTDOWN,
    Actor,
    ActorSystem,
    AgenticError,
    HandlerExited,
    enter_agent_context,
    is_coroutine_function,
    with_context,
)

from ..vocabulary.errors import NO_OUTCOMES
from ..vocabulary.outcome import describe_error
from ..vocabulary.target import Owner, Scope, target_name


class FunctionFailed(AgenticError):
    """A function raised what is not an `Exception`, which out of an actor would end all others too."""

    def __init__(self, function: str, error: BaseException) -> None:
        super().__init__(f"{function!r} failed: {describe_error(error)}")
        self.function = function


class FunctionTarget:
    """A function as an `Askable`: each call runs in an actor of its own, made for that call.

    An ``async`` function runs on the loop, a plain one off it, because it may block. Calls overlap,
    share nothing, and are stopped with the actor. They see the caller's context
    variables. An Agent around the function lost: an agent handles one message after another, so that
    executions would wait for each other.
    """

    __slots__ = ("_actor", "_function", "name")

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.name = target_name(function)
        self._actor = _AsyncCall if is_coroutine_function(function) else _BlockingCall

    async def ask(
        self,
        payload: Any,
        timeout: float | None = None,
        *,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the function's result; raises what it raises."""
        return await self._call(payload, timeout, None, context)

    async def ask_within(self, payload: Any, timeout: float | None, scope: Scope) -> Any:
        """Return the function's result, called for another execution."""
        return await self._call(payload, timeout, scope.owner, scope.context)

    async def _call(
        self,
        payload: Any,
        timeout: float | None,
        owner: Owner | None,
        context: Mapping[str, Any] | None,
    ) -> Any:
        ref = ActorSystem.current().start(self._actor, self._function, context)
        if owner is not None:
            owner.adopt(ref)
        try:
            return await ref.request(with_context(payload), timeout=timeout)
        except asyncio.CancelledError:
            # It stays adopted: if the owner was killed, nothing that is said here is heard.
            owner = None
            raise
        finally:
            ref.exit(SHUTDOWN)
            if owner is not None:
                owner.disown(ref)


class _AsyncCall(Actor):
    """Calls an ``async`` function once."""

    exit_is_crash = True

    def __init__(self, function: Callable[..., Any], context: Mapping[str, Any] | None) -> None:
        super().__init__()
        self._function = function
        self._work_context = context

    def circle_name(self, ref: Any) -> str:
        """Return the name of the function."""
        return target_name(self._function)

    async def on_receive(self, message: Any) -> Any:
        enter_agent_context(self._work_context)
        try:
            return await self._function(message)
        except SystemExit as error:
            raise HandlerExited.of(target_name(self._function), error) from error
        except (Exception, *NO_OUTCOMES):
            raise
        except BaseException as error:
            raise FunctionFailed(target_name(self._function), error) from error


class _BlockingCall(Actor):
    """Calls a plain function once, where it may block."""

    exit_is_crash = True

    dispatcher = "thread"

    def __init__(self, function: Callable[..., Any], context: Mapping[str, Any] | None) -> None:
        super().__init__()
        self._function = function
        self._work_context = context

    def circle_name(self, ref: Any) -> str:
        """Return the name of the function."""
        return target_name(self._function)

    def on_receive(self, message: Any) -> Any:
        enter_agent_context(self._work_context)
        try:
            return self._function(message)
        except SystemExit as error:
            raise HandlerExited.of(target_name(self._function), error) from error
        except (Exception, *NO_OUTCOMES):
            raise
        except BaseException as error:
            raise FunctionFailed(target_name(self._function), error) from error
