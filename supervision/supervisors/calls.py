"""Actors whose life is one call of a function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from agenticaiframework.actors import NORMAL, Actor, ActorExit


class _Run:
    """The first message of a `CoroutineActor`."""


_RUN = _Run()


class CoroutineActor(Actor):
    """Calls *fn* once it has started, and ends with it: ``normal``, or with its exception.

    An exit signal cancels the call. Messages are not handled while it runs; a request to it fails
    when it ends.
    """

    def __init__(self, fn: Callable[..., Awaitable[Any]], *args: Any) -> None:
        super().__init__()
        self._fn = fn
        self._args = args

    def on_start(self) -> None:
        self.actor_ref.tell(_RUN)

    async def on_receive(self, message: Any) -> Any:
        try:
            await self._fn(*self._args)
        except ActorExit:
            raise
        except Exception as error:
            # Not a crash on a message: there is no message that anybody has lost by it.
            raise ActorExit(error) from error
        raise ActorExit(NORMAL)


class FunctionActor(Actor):
    """Calls a plain function once it has started, in a thread, and ends with it."""

    dispatcher = "thread"

    def __init__(self, fn: Callable[..., Any], *args: Any) -> None:
        super().__init__()
        self._fn = fn
        self._args = args

    def on_start(self) -> None:
        self.actor_ref.tell(_RUN)

    def on_receive(self, message: Any) -> Any:
        try:
            self._fn(*self._args)
        except ActorExit:
            raise
        except Exception as error:
            raise ActorExit(error) from error
        raise ActorExit(NORMAL)
