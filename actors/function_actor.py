"""An actor whose life is one call of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any

from .actor import Actor
from .errors import ActorExit, HandlerExited
from .kernel.carried import with_context


class Call:
    """The one message that a `FunctionActor` handles: make the call."""

    __slots__ = ()


CALL = Call()


def is_coroutine_function(fn: object) -> bool:
    """Tell whether calling *fn* gives a coroutine, also for partials and callable objects."""
    inner: Any = fn
    while hasattr(inner, "func") and not inspect.isfunction(inner):
        inner = inner.func
    call = getattr(inner.__class__, "__call__", None)  # noqa: B004 - the method itself is meant
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(call)


class FunctionActor(Actor):
    """Calls ``fn(*args, **kwargs)`` once, and ends with it: ``normal``, or with its exception.

    An ``async`` function runs on the loop, a plain one in the system's thread pool, because it may
    block. The call is made on the request ``CALL``, whose answer is the result, or, with *at_once*,
    right after the start. The call is made in the context of the request, or in *variables*, if it is
    made at once. An exit signal cancels the call.
    """

    crash_on_ask_error = True
    exit_is_crash = True

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...] = (),
        at_once: bool = False,
        variables: Context | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._fn = fn
        self._args = args
        self._kwargs: Mapping[str, Any] = {} if kwargs is None else kwargs
        self._at_once = at_once
        self._variables = variables
        self._on_loop = is_coroutine_function(fn)
        if not self._on_loop:
            self.dispatcher = "thread"  # type: ignore[misc]

    def on_start(self) -> None:
        if self._at_once:
            self.actor_ref.tell(CALL if self._variables is None else self._carried_call())

    def _carried_call(self) -> Any:
        variables, self._variables = self._variables, None
        return with_context(CALL, variables)

    def on_receive(self, message: Any) -> Any:
        return self._call_async() if self._on_loop else self._call_plain()

    async def _call_async(self) -> Any:
        try:
            result = await self._fn(*self._args, **self._kwargs)
        except (Exception, SystemExit) as error:
            raise self._end_of(error) from error
        return self._end_with(result)

    def _call_plain(self) -> Any:
        try:
            result = self._fn(*self._args, **self._kwargs)
        except (Exception, SystemExit) as error:
            raise self._end_of(error) from error
        return self._end_with(result)

    def _end_with(self, result: Any) -> Any:
        if self.current_request is None:
            self.stop()
            return result
        # In one step: an asker who has the result finds no actor any more, and its place free.
        self.defer_reply().reply(result)
        raise ActorExit

    def _expects(self, error: Exception) -> bool:
        return False  # Its life is this call: there is nothing to be well for.

    def _end_of(self, error: Exception | SystemExit) -> Exception:
        """Return what ends this actor: without a request no message is lost, so it is an exit."""
        if isinstance(error, SystemExit):
            error = HandlerExited.of(self.actor_ref.label, error)
        if self._at_once and not isinstance(error, ActorExit):
            return ActorExit(error)
        return error
