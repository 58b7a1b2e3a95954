"""Agents: a handler or a model behind an address that stays valid across restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

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
from .agent_request import AgentRequest, Work
from .definition import (
    check_agent,
    check_dispatcher,
    concurrency_of,
    is_async_handler,
    model_handler,
)
from .directory import Directory
from .errors import AgentDefinitionError, AgentStopped
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
    cause, the supervisor gets the exit. *on_start* and *on_stop* run in the actor at every start and
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
        concurrency: int | None = None,
    ) -> None:
        check_agent(name, handler, model, capabilities)
        check_dispatcher(name, handler, dispatcher)
        self.name = name
        self.model = model
        self.instructions = instructions
        self.description = description
        self.capabilities: tuple[str, ...] = tuple(capabilities)
        if handler is None:
            handler = model_handler(name, model, instructions, output_schema)
        if dispatcher is None:
            dispatcher = "event_loop" if is_async_handler(handler) else "thread"
        self._spec = AgentSpec(name, handler, dispatcher, mailbox, on_start, on_stop)
        self._spec.concurrency = concurrency_of(name, concurrency, model)
        self._homes = AddressBook[AgentAddress]()
        _directory.enter(self)

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

        Raises `AgentFailed` (the handler's exception is its ``__cause__``), `AgentTimeout` after
        *timeout* seconds from now, waiting for its turn included, `AgentStopped` if it was stopped for good. On a timeout, and when the
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
        if system is None:
            system = ActorSystem.current()
        home = self._homes.get(id(system))
        if home is None:
            home = self.address(system)
        ref = home.ref
        work = Work(payload, context)
        # Where an incarnation lives on this very loop and has room: the path of nearly every request.
        request = None if ref is None else request_bounded(ref, work, home, kind)
        if request is not None:
            request.agent = self
        else:
            request = new_request(work, home, system.scheduler, kind)
            request.agent = self
            home.put(request)
        if timeout is not None:
            system.scheduler.post_or_call(request.start_timer, timeout)
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

        For steps of something larger, on the loop's thread. *queue_timeout* is how long it may wait for
        that; raises `QueueTimeout` then, and the work is never handled.
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
        home = self.address(system)
        if home.closed is not None:
            raise AgentStopped(self.name, home.closed)
        home.tell(Work(payload, context))

    def on_message(self, fn: F) -> F:
        """Register *fn* for the messages of the agent's inbox (``type``, ``content``, ``sender``).

        Several are called in the order of registration. Use it as a decorator.
        """
        self._spec.on_message = (*self._spec.on_message, fn)
        return fn

    # -- its actor -----------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """Whether its actor runs in the current system."""
        system = ActorSystem.current_or_none()
        home = None if system is None else self._homes.get(id(system))
        return home is not None and home.live is not None

    @property
    def busy(self) -> int:
        """How many messages it handles in the current system now; at most `concurrency`."""
        system = ActorSystem.current_or_none()
        home = None if system is None else self._homes.get(id(system))
        return 0 if home is None else home.busy

    def address(self, system: ActorSystem | None = None) -> AgentAddress:
        """Return the agent's address in *system* (the current one, if not given)."""
        if system is None:
            system = ActorSystem.current()
        home = self._homes.get(id(system))
        return (
            self._homes.of(system, lambda it: AgentAddress(self, it, self._spec))
            if home is None
            else home
        )

    async def stop(self, reason: Any = NORMAL, timeout: float | None = None) -> None:
        """End the agent's actor in the current system with *reason*, and wait until it has ended.

        What then happens is its supervisor's business. Without one, the next message starts a fresh
        actor.
        """
        home = self.address()
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
    """Return the agent of that name. Raises `UnknownAgent`, with the near names, if none lives."""
    return _directory.find(name, where=where)


def agent_names() -> list[str]:
    """Return the names of the agents that exist, sorted."""
    return _directory.names()
