"""What makes an actor class, a plain pykka actor class or a coroutine function a named child.

Agents, teams and supervisors are `Supervisable` themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pykka

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorRef,
    ActorSystem,
    Address,
    FunctionActor,
    is_coroutine_function,
)

from ..machine.supervisable import Supervisable
from ..vocabulary.errors import BadOption
from ..vocabulary.kinds import ChildType


class ActorTarget:
    """An actor class as a child: fresh actors of that class, behind one address per system."""

    def __init__(self, name: str, actor_class: type[Actor], args: tuple[Any, ...] = ()) -> None:
        self.name = name
        self.child_type = ChildType(getattr(actor_class, "child_type", ChildType.WORKER))
        self._actor_class = actor_class
        self._args = args
        self._address: Address | None = None

    def address(self, system: ActorSystem | None = None) -> Address:
        found = self._address
        wanted = ActorSystem.current() if system is None else system
        if found is None or found.system is not wanted:
            found = self._address = Address(self.name, wanted, mailbox=self._actor_class.mailbox)
        return found

    async def start_under(
        self, parent: Actor, timeout: float | None = None
    ) -> ActorRef[Any] | None:
        address = self.address(parent.system)
        address.reopen()
        ref = await parent.start_link(
            self._actor_class, *self._args, name=self.name, timeout=timeout, mailbox_to=address
        )
        if ref is not None:
            address.bind(ref)
        return ref

    def release(self, system: ActorSystem) -> None:
        self.address(system).close("removed")


class PykkaAddress(Address):
    """The address of a plain pykka actor: it counts the incarnations, and keeps no messages."""

    __slots__ = ()

    def bind(self, ref: Any) -> None:
        """Count *ref*, which is asked and told by itself."""
        self.incarnation += 1


class PykkaTarget:
    """A plain pykka actor class as a child. Its threads are pykka's own.

    A supervisor cannot wait for its start nor kill it: it is asked to stop, and counts as dead from
    then on. Nothing is kept for it between two incarnations.
    """

    child_type = ChildType.WORKER

    def __init__(
        self, name: str, actor_class: type[pykka.Actor], args: tuple[Any, ...] = ()
    ) -> None:
        self.name = name
        self._actor_class = actor_class
        self._args = args
        self._ref: pykka.ActorRef[Any] | None = None
        self._address: Address | None = None

    def address(self, system: ActorSystem | None = None) -> Address:
        found = self._address
        wanted = ActorSystem.current() if system is None else system
        if found is None or found.system is not wanted:
            found = self._address = PykkaAddress(self.name, wanted)
        return found

    async def start_under(self, parent: Actor, timeout: float | None = None) -> Any:
        ref = self._ref = self._actor_class.start(*self._args)
        parent.link(ref)
        self.address(parent.system).bind(cast("ActorRef[Any]", ref))
        return ref

    def release(self, system: ActorSystem) -> None:
        self._ref = None

    async def ask(self, payload: Any, timeout: float | None = None) -> Any:
        """Return the actor's reply; the wait is done in a thread, since pykka's blocks."""
        return await asyncio.to_thread(self._running().ask, payload, timeout=timeout)

    def tell(self, payload: Any) -> None:
        """Send the actor *payload*. Raises `pykka.ActorDeadError` if it is dead."""
        self._running().tell(payload)

    def _running(self) -> pykka.ActorRef[Any]:
        if self._ref is None:
            raise ActorDied(self.name, "noproc")
        return self._ref


class CoroutineTarget(ActorTarget):
    """A coroutine function as a child: it is called at each start, and its end is the child's."""

    def __init__(
        self, name: str, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...] = ()
    ) -> None:
        super().__init__(name, FunctionActor, (fn, args, True))


def target_of(name: str, child: Any) -> Supervisable:
    """Return *child* as something that a supervisor can start. Raises `BadOption`."""
    first: Any = child
    args: tuple[Any, ...] = ()
    if child.__class__ is tuple and child:
        first, args = child[0], child[1:]
    if isinstance(first, type):
        if issubclass(first, Actor):
            return ActorTarget(name, first, args)
        if issubclass(first, pykka.Actor):
            return PykkaTarget(name, first, args)
    elif isinstance(first, Supervisable) and not args:
        return first
    elif is_coroutine_function(first):
        fn: Any = first
        return CoroutineTarget(name, fn, args)
    raise BadOption(
        f"The child {name!r}",
        f"it cannot be supervised: {child!r} is not an Agent, a team, a supervisor, an Actor class or "
        "(class, *args), a pykka actor class, or a coroutine function",
        "add_child('worker', Agent('worker', handler=work))",
    )
