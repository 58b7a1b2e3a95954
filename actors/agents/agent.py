"""Agents: a handler or a model behind an address that stays valid across restarts."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..actor import Actor
from ..dispatch.processes import check_portable
from ..errors import DISPATCHERS, ActorDied, unknown_dispatcher
from ..kernel import lifecycle
from ..kernel.cell import adopt_orphan, request_bounded
from ..kernel.delivery import refuse
from ..kernel.mailbox import Mailbox
from ..kernel.request import new_request
from ..kernel.running import running_here
from ..kernel.starting import spawn, start_link
from ..reasons import NORMAL
from ..system.system import ActorSystem
from .address import Address
from .address_book import AddressBook
from .agent_actor import AgentActor, AgentSpec
from .agent_request import AgentRequest, Work
from .directory import Directory
from .errors import AgentDefinitionError, AgentStopped
from .models import ModelRequest, run_model
from .owner_link import OwnerLink

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
    for all who ask it, and handles one message at a time.

    An exception out of the handler is a crash: the asker gets `AgentFailed` with the exception as its
    cause, the supervisor gets the exit. *on_start* and *on_stop* run in the actor at every start and
    end; each may be ``async``, and *on_stop* may take the exit reason. *capabilities* are matched by
    teams. *dispatcher* overrides where the handler runs (``event_loop``, ``thread``, ``pinned``,
    ``process``). *mailbox* bounds what may wait for it.
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
    ) -> None:
        _check(name, handler, model, capabilities)
        _check_dispatcher(name, handler, dispatcher)
        self.name = name
        self.model = model
        self.instructions = instructions
        self.description = description
        self.capabilities: tuple[str, ...] = tuple(capabilities)
        if handler is None:
            handler = _model_handler(name, model, instructions, output_schema)
        if dispatcher is None:
            dispatcher = "event_loop" if _is_async(handler) else "thread"
        self._spec = AgentSpec(name, handler, dispatcher, mailbox, on_start, on_stop)
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
        *timeout* seconds, `AgentStopped` if it was stopped for good. On a timeout, and when the
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
        request = None if ref is None else request_bounded(ref, work, home, AgentRequest)
        if request is not None:
            request.agent = self
        else:
            request = new_request(work, home, system.scheduler, AgentRequest)
            request.agent = self
            home.put(request)
        if timeout is not None:
            system.scheduler.post_or_call(request.start_timer, timeout)
        return request

    def tell(self, payload: Any, *, context: Mapping[str, Any] | None = None) -> None:
        """Give the agent *payload* to handle, and wait for nothing."""
        home = self.address()
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
        home.system.end_actor(ref, reason)
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
            return ref
        started = await start_link(
            parent.actor_ref,
            AgentActor,
            (self._spec,),
            {},
            self.name,
            timeout,
            mailbox_to=home,
            incarnation=home.incarnation + 1,
        )
        if started is not None:
            home.bind(started)
        return cast("ActorRef[Any] | None", started)

    def release(self, system: ActorSystem) -> None:
        """Belong to no supervisor any more: messages start an actor on demand again."""
        home = self.address(system)
        home.owner = None
        home.reopen()
        if home.waiting:
            home.start_on_demand()


class AgentAddress(Address):
    """An agent's address in one system: starts the actor on demand unless a supervisor owns it."""

    __slots__ = ("_agent", "_spec", "owner")

    def __init__(self, agent: Agent, system: ActorSystem, spec: AgentSpec) -> None:
        super().__init__(agent.name, system, capacity=spec.mailbox.capacity)
        self._spec = spec
        # An agent that is no longer referenced must not leave its idle actor behind.
        self._agent = OwnerLink(agent, _end_actor)
        self._agent.home = self
        self.owner: ActorRef[Any] | None = None

    @property
    def owned(self) -> bool:
        """Whether a supervisor decides about the next incarnation."""
        return self.owner is not None and not self.owner.ended

    def start_on_demand(self) -> None:
        """Start an incarnation for the messages that wait, unless that is a supervisor's business."""
        agent = self._agent()
        if self.owned or agent is None or not self.system.running:
            return
        before = self.ref
        if before is not None and not before.ended:
            # It lives, or is still ending: its end starts the next, and has to come.
            lifecycle.hurry(before)
            return
        self.owner = None
        ref = spawn(
            self.system.open_home(),
            AgentActor,
            (self._spec,),
            {},
            name=agent.name,
            mailbox_to=self,
            incarnation=self.incarnation + 1,
        )
        self.bind(ref)

    def put(self, request: AgentRequest) -> None:
        """Take *request* into the live incarnation's mailbox, or keep it. Safe from any thread."""
        if self._fenced(request.message):
            refuse(request, ActorDied(running_here() or self, "abandoned"))
        elif not self.system.scheduler.post_or_call(self._arrive, request):
            refuse(request, AgentStopped(self.name, "the system has stopped"))


def _end_actor(link: OwnerLink) -> None:
    """The agent is gone; this is the thread that dropped it last."""
    home: AgentAddress | None = link.take()
    if home is None or not home.system.running:
        return
    ref = home.ref
    if ref is not None and not ref.ended:
        home.system.scheduler.post(_end_unless_owned, home, ref)


def _end_unless_owned(home: AgentAddress, ref: ActorRef[Any]) -> None:
    if ref.is_alive() and not home.owned:
        lifecycle.doom(ref, NORMAL, soft=True)


_directory: Directory[Agent] = Directory()


def find_agent(name: str, *, where: str | None = None) -> Agent:
    """Return the agent of that name. Raises `UnknownAgent`, with the near names, if none lives."""
    return _directory.find(name, where=where)


def agent_names() -> list[str]:
    """Return the names of the agents that exist, sorted."""
    return _directory.names()


def _check(name: Any, handler: Any, model: Any, capabilities: Any) -> None:
    if not isinstance(name, str) or not name.strip():
        raise AgentDefinitionError(f"an agent's name must be a non-empty string, not {name!r}")
    if handler is not None and model is not None:
        raise AgentDefinitionError(
            f"agent {name!r} has both a handler and a model; give it one of them"
        )
    if handler is None and model is None:
        raise AgentDefinitionError(f"agent {name!r} has neither a handler nor a model")
    if handler is not None and not callable(handler):
        raise AgentDefinitionError(
            f"the handler of agent {name!r} must be a function of the payload, not {handler!r}"
        )
    if isinstance(capabilities, str):
        raise AgentDefinitionError(
            f"capabilities of agent {name!r} must be a list: [{capabilities!r}]"
        )


def _check_dispatcher(name: str, handler: Any, dispatcher: Any) -> None:
    if dispatcher is not None and dispatcher not in DISPATCHERS:
        raise unknown_dispatcher(f"Agent {name!r}", dispatcher)
    if dispatcher == "process":
        if handler is None:
            raise AgentDefinitionError(
                f"agent {name!r} has a model, which is waited for and not computed, so it needs no "
                "process of its own; leave dispatcher= out"
            )
        check_portable(f"The handler of agent {name!r}", handler)


def _is_async(handler: Callable[..., Any]) -> bool:
    """Tell whether calling *handler* gives a coroutine, also for partials and callable objects."""
    inner: Any = inspect.unwrap(handler)
    call: Any = getattr(type(handler), "__call__", None)  # noqa: B004 - the method itself
    while hasattr(inner, "func") and not inspect.isfunction(inner):
        inner = inner.func
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(call)


def _model_handler(
    name: str, model: Any, instructions: str | None, output: Mapping[str, Any] | None
) -> Callable[[Any], Awaitable[Any]]:
    async def ask_model(payload: Any) -> Any:
        return await run_model(
            ModelRequest(
                agent=name,
                model=model,
                instructions=instructions,
                payload=payload,
                output=output,
            )
        )

    return ask_model
