"""Agents: a handler or a model behind an address that stays valid across restarts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from ..actor import Actor
from ..kernel.cell import adopt_orphan, request_bounded
from ..kernel.mailbox import Mailbox
from ..kernel.request import new_request
from ..kernel.starting import start_link
from ..reasons import NORMAL
from ..system.system import ActorSystem
from .address_book import AddressBook
from .agent_actor import AgentSpec
from .agent_address import AgentAddress
from .agent_request import AgentRequest, work_from_here
from .definition import (
    check_agent,
    check_dispatcher,
    concurrency_of,
    is_async_handler,
    model_handler,
)
from .directory import Directory, FindFrom
from .errors import AgentDefinitionError, AgentStopped
from .expected_errors import read_expected_errors
from .line_of_making import POINT
from .step_request import StepRequest

if TYPE_CHECKING:
    from ..ref import ActorRef

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_MAILBOX = Mailbox(10_000, overflow="fail")
"""Bounded, because what waits for an agent holds memory, and a slow model can fall far behind."""


class Agent:
    """A named agent: a blueprint plus an address. Making one starts nothing and needs no loop.

    Its behaviour is one of

    - *handler*, a function of the payload: an ``async`` one runs on the event loop, a plain one may
      block and runs in the system's thread pool;
    - *model* with *instructions*: the payload goes to a language model (extra ``llm``).

    On the first message its actor is started in the current system, and again after a crash; a
    supervisor that was given the agent decides about that instead. Per system an agent is one actor,
    for all who ask it, and handles one message at a time, unless *concurrency* says more.

    An exception out of the handler is a crash: the asker gets `AgentFailed` with the exception as its
    cause, the supervisor gets the exit. Not so one that is expected: the asker gets the same, of a told
    message a dead letter stays, and the agent goes on with the next. Expected are `RequestRejected`,
    the classes in *expected_errors* (``expected_errors=(ConnectionError, BadInput)``), and for an agent
    with a *model* what asking it raises (HTTP and connection errors, timeouts, an answer that does not
    fit), unless ``expected_errors=()``. *on_start* and *on_stop* run in the actor at every start and
    end; each may be ``async``, and *on_stop* may take the exit reason. *capabilities* are matched by
    teams. *dispatcher* overrides where the handler runs (``event_loop``, ``thread``, ``pinned``,
    ``process``). *mailbox* bounds what may wait for it.

    *concurrency* is how many messages it handles at once, on any dispatcher: 1 for a handler, which
    may then keep state without a thought, and 32 for a model, since it waits for its provider, if
    nothing is said. With more than one there are up to so many incarnations behind the one address
    and the one mailbox, started when needed, each with its *on_start*, and ended when idle. A crash, a
    kill, a timeout, or a handler that ignores its cancellation then costs only its own request.
    """

    def __init__(
        self,
        name: str,
        *,
        handler: Callable[..., Any] | None = None,
        model: Any = None,
        instructions: str | None = None,
        capabilities: Iterable[str] = (),
        dispatcher: str | None = None,
        on_start: Callable[..., Any] | None = None,
        on_stop: Callable[..., Any] | None = None,
        mailbox: Mailbox = DEFAULT_MAILBOX,
        output_schema: Mapping[str, Any] | None = None,
        description: str = "",
        expected_errors: type[Exception] | Iterable[type[Exception]] | None = None,
        concurrency: int | None = None,
    ) -> None:
        check_agent(name, handler, model, capabilities)
        check_dispatcher(name, handler, dispatcher)
        expected = read_expected_errors(name, expected_errors, has_model=handler is None)
        self.name = name
        self.model = model
        self.instructions = instructions
        self.description = description
        self.capabilities: tuple[str, ...] = tuple(capabilities)
        if handler is None:
            handler = model_handler(name, model, instructions, output_schema)
        if dispatcher is None:
            dispatcher = "event_loop" if is_async_handler(handler) else "thread"
        self._spec = AgentSpec(
            name, handler, dispatcher, mailbox, on_start, on_stop, expected_errors=expected
        )
        self._spec.concurrency = concurrency_of(name, concurrency, model)
        self._homes = AddressBook[AgentAddress]()
        maker = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - the cheap way
        _directory.enter(self, maker)

    def __repr__(self) -> str:
        return f"<Agent {self.name!r}>"

    @property
    def handler(self) -> Callable[..., Any]:
        """The function that answers payloads."""
        return self._spec.handler

    @property
    def dispatcher(self) -> str:
        """Where the handler runs."""
        return self._spec.dispatcher

    @property
    def concurrency(self) -> int:
        """How many messages it handles at once in a system, at most."""
        return self._spec.concurrency

    # -- asking --------------------------------------------------------------------------------

    async def ask(
        self,
        payload: Any = None,
        timeout: float | None = None,
        *,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the handler's result for *payload*.

        Raises `AgentFailed` (the handler's exception is its ``__cause__``; ``expected`` tells that it
        was the failure of this request alone, and the agent lives), `AgentTimeout` after
        *timeout* seconds from now, waiting for its turn included, `AgentStopped` if it was stopped for
        good. On a timeout, and when the
        awaiting code is cancelled, the work itself is cancelled; a handler that does not obey, or
        that blocks a thread, is left behind, and a fresh incarnation takes over. *context* is what
        the handler finds in `agent_context()`.
        """
        return await self.request(payload, timeout, context=context)

    def request(
        self,
        payload: Any = None,
        timeout: float | None = None,
        *,
        context: Mapping[str, Any] | None = None,
        system: ActorSystem | None = None,
        kind: type[AgentRequest] = AgentRequest,
    ) -> AgentRequest:
        """Return an awaitable for what `ask` returns: cheaper to await many of (see `gather`)."""
        homes = self._homes
        home = homes.owned(system) if homes.supervised else None
        if home is None:
            if system is None:
                system = ActorSystem.current()
            home = homes.get(id(system))
            if home is None:
                home = self.address(system)
        ref = home.ref
        work = work_from_here(self.name, payload, context, home.system)
        # Where an incarnation lives on this very loop and has room: the path of nearly every request.
        request = None if ref is None else request_bounded(ref, work, home, kind)
        if request is not None:
            request.agent = self
        else:
            request = new_request(work, home, home.system.scheduler, kind)
            request.agent = self
            home.put(request)
        if timeout is not None:
            home.system.scheduler.post_or_call(request.start_timer, timeout)
        return request

    def request_step(
        self,
        payload: Any,
        timeout: float | None,
        queue_timeout: float | None = None,
        *,
        context: Mapping[str, Any] | None = None,
        system: ActorSystem | None = None,
    ) -> StepRequest:
        """Return what `request` does, with a *timeout* that counts from when the agent takes it up.

        For steps of something larger. *queue_timeout* is how long it may wait for that; raises
        `QueueTimeout` then, and the work is never handled.
        """
        request = cast(
            "StepRequest", self.request(payload, context=context, system=system, kind=StepRequest)
        )
        request.limit(timeout, queue_timeout)
        return request

    def tell(
        self,
        payload: Any,
        *,
        context: Mapping[str, Any] | None = None,
        system: ActorSystem | None = None,
    ) -> None:
        """Give the agent *payload* to handle, and wait for nothing."""
        home = self.address_for(system)
        if home.closed is not None:
            raise AgentStopped(self.name, home.closed)
        home.tell(work_from_here(self.name, payload, context, home.system))

    def on_message(self, fn: F) -> F:
        """Register *fn* for the messages of the agent's inbox (``type``, ``content``, ``sender``).

        Several are called in the order of registration. Use it as a decorator.
        """
        self._spec.on_message = (*self._spec.on_message, fn)
        return fn

    # -- its actor -----------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """Whether its actor runs, in the current system or under a supervisor in any."""
        home = self._address_or_none()
        return home is not None and home.live is not None

    @property
    def busy(self) -> int:
        """How many messages it handles now, where `is_alive` looks; at most `concurrency`."""
        home = self._address_or_none()
        return 0 if home is None else home.busy

    def address(self, system: ActorSystem | None = None) -> AgentAddress:
        """Return the agent's address in *system*; without one, where messages from here go.

        That is the system in which a supervisor owns the agent, else the current one.
        """
        return self.address_for() if system is None else self._homes.of(system, self._new_address)

    def address_for(self, system: ActorSystem | None = None) -> AgentAddress:
        """Return the address that messages from *system* (the current one, if not given) go to.

        An agent that a supervisor owns is that one actor, whatever system it is asked from.
        """
        homes = self._homes
        if not homes.supervised:
            home = homes.get(id(ActorSystem.current() if system is None else system))
            if home is not None:
                return home
        return homes.meant(system, self._new_address)

    def _address_or_none(self) -> AgentAddress | None:
        """Return what `address_for` does, if it has been made."""
        home = self._homes.owned(None) if self._homes.supervised else None
        if home is None:
            system = ActorSystem.current_or_none()
            home = None if system is None else self._homes.get(id(system))
        return home

    def _new_address(self, system: ActorSystem) -> AgentAddress:
        return AgentAddress(self, system, self._spec, self._homes)

    async def stop(self, reason: Any = NORMAL, timeout: float | None = None) -> None:
        """End the agent's actor (see `address`) with *reason*, and wait until it has ended.

        What then happens is its supervisor's business. Without one, the next message starts a fresh
        actor.
        """
        home = self.address_for()
        ref = home.live
        if ref is None or ref.ended:
            return
        home.end(ref, reason)
        await home.system.wait_ended(ref, timeout)

    # -- for supervisors -----------------------------------------------------------------------

    async def start_under(
        self, parent: Actor, timeout: float | None = None
    ) -> ActorRef[Any] | None:
        """Start the agent's actor as a child of *parent*, and return the ref of the incarnation.

        If an actor of this agent runs already, unsupervised, it is linked to *parent* and becomes
        its child as it is. From now on only *parent* starts it. Returns None if it declines to start
        (its *on_start* raises `Ignore`). Raises `StartFailed`.
        """
        home = self.address(parent.system)
        owner = home.owner
        if owner is not None and owner.is_alive() and owner is not parent.actor_ref:
            raise AgentDefinitionError(
                f"agent {self.name!r} already belongs to the supervisor {owner.label}; "
                "an agent is one actor, so remove it there first"
            )
        home.owner = parent.actor_ref
        home.reopen()
        ref = home.live
        if ref is not None and adopt_orphan(ref, parent.actor_ref):
            parent.link(ref)
            home.supervised_by(parent)
            return ref
        actor_class, args = home.blueprint()
        started = await start_link(
            parent.actor_ref,
            actor_class,
            args,
            {},
            self.name,
            timeout,
            mailbox_to=home,
            incarnation=home.incarnation + 1,
        )
        if started is not None:
            home.supervised_by(parent)
            home.bind(started)
        return cast("ActorRef[Any] | None", started)

    def release(self, system: ActorSystem) -> None:
        """Belong to no supervisor any more: messages start an actor on demand again."""
        home = self.address(system)
        home.owner = None
        home.reopen()
        if home.waiting:
            home.start_on_demand()


_directory: Directory[Agent] = Directory()


def find_agent(name: str, *, where: str | None = None) -> Agent:
    """Return the agent that *name* means here.

    That is the latest of that name which was made in this context (the task, or those it came
    from), else the only one that lives. Raises `UnknownAgent`, with the near names, if there is
    none, and `AmbiguousAgent` if there are several that other tasks have made.
    """
    return _directory.find(name, where=where)


def agent_or_none(name: str) -> Agent | None:
    """Return what `find_agent` returns, and None where it raises."""
    return _directory.look(name)


class AgentFinder(Protocol):
    """`find_agent`, or what finds agents in its place."""

    def __call__(self, name: str, *, where: str | None = None) -> Agent: ...


def agents_from_here() -> AgentFinder:
    """Return a `find_agent` that looks from here, wherever it is called."""
    point = POINT.get()
    return find_agent if point is None else FindFrom(_directory, point)


def agent_names() -> list[str]:
    """Return the names of the agents that exist, sorted."""
    return _directory.names()
