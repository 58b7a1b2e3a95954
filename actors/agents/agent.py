"""Agents: a handler or a model behind an address that stays valid across restarts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from ..actor import Actor
from ..cluster.placement import Placement
from ..kernel.cell import adopt_orphan, request_bounded
from ..kernel.mailbox import Mailbox
from ..kernel.request import new_request
from ..kernel.starting import start_link
from ..looks import attribute_of, shown
from ..reasons import NORMAL
from ..system.from_threads import in_this_thread, refuse_on_a_loop
from ..system.system import ActorSystem
from ..wrong_calls import explained, no_attribute
from .address_book import AddressBook
from .agent_actor import AgentSpec
from .agent_address import AgentAddress
from .agent_host import recipe_of
from .agent_request import AgentRequest, work_from_here
from .agent_result import WHOLE_RESULT, AgentResult
from .agent_stream import AgentStream
from .agent_usage import spent_by
from .definition import (
    behaviour_of,
    check_agent,
    check_dispatcher,
    concurrency_of,
    is_async_handler,
    model_handler,
    model_spec_of,
)
from .directory import Directory, FindFrom, Named
from .errors import AgentDefinitionError, AgentStopped
from .expected_errors import read_expected_errors
from .guarded import guarded_handler
from .guardrails import read_guardrails
from .line_of_making import POINT
from .model_spec import ModelSpec
from .parts import CHUNKS, PartSink
from .session_names import check_session, in_session
from .sessions import AgentSession, KeptSessions, sessions_of
from .step_request import StepRequest
from .tried_names import AGENT_ATTRIBUTES, AGENT_OPTIONS
from .usage import Usage

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
    ``process``). *mailbox* bounds what may wait for it. *name* is what others call it by, and
    *description* what a model reads of it, where it is another agent's tool.

    What an agent with a *model* may be given besides:

    - *output_type*: the type of the answer (a pydantic model, a dataclass, ``int``, ...), enforced;
      *output_schema*: the same as a JSON schema;
    - *retries*: how often the model may try again after an answer or a call that does not fit, 1 if
      nothing is said: ``2``, or ``{"tools": 3, "output": 1}``;
    - *tools*: what it may call: functions, agents, teams, patterns, MCP servers;
    - *approve*: a function that decides about calls of tools that need an approval;
    - *model_settings*: pydantic-ai's, ``{"temperature": 0.2}``, or a function of the run's context;
    - *usage_limits*: what one request may spend: pydantic-ai's ``UsageLimits``, or a mapping;
    - *fallback_models*: models that are asked, in order, where the first fails;
    - *history*: where and how its conversations are kept, or False for none;
    - *guardrails*: checks of what it is asked and of what it answers (see `Guardrail`);
    - *deps*: what tools find as ``ctx.deps``;
    - *trace_content*: whether its spans hold what was said.

    *concurrency* is how many messages it handles at once, on any dispatcher: 1 for a handler, which
    may then keep state without a thought, and 32 for a model, since it waits for its provider, if
    nothing is said. With more than one there are up to so many incarnations behind the one address
    and the one mailbox, started when needed, each with its *on_start*, and ended when idle. A crash, a
    kill, a timeout, or a handler that ignores its cancellation then costs only its own request.

    *node* is the name or a label of the node of a cluster that it runs on (``node="gpu"``; ``"*"``: any
    other than the one that asks). Its supervisor starts it on another with that label if that node is lost.
    ``near(other)`` is the node that another agent or actor runs on, and ``spread("gpu")`` that of those
    with the label which has the fewest of its group; with a *concurrency* given, its incarnations run on
    all of them.
    """

    @explained(
        "Agent('writer', handler=write)",
        "Agent('writer', model='gpt-4o-mini', instructions='Write clearly')",
        **AGENT_OPTIONS,
    )
    def __init__(
        self,
        name: str,
        handler: Any = None,
        *,
        model: Any = None,
        instructions: Any = None,
        capabilities: Iterable[str] = (),
        dispatcher: str | None = None,
        on_start: Callable[..., Any] | None = None,
        on_stop: Callable[..., Any] | None = None,
        mailbox: Mailbox = DEFAULT_MAILBOX,
        output_schema: Mapping[str, Any] | None = None,
        output_type: Any = None,
        tools: Sequence[Any] = (),
        model_settings: Mapping[str, Any] | Callable[..., Any] | None = None,
        usage_limits: Any = None,
        fallback_models: Sequence[Any] = (),
        retries: int | Mapping[str, int] | None = None,
        history: Any = None,
        guardrails: Sequence[Any] = (),
        approve: Callable[..., Any] | None = None,
        deps: Any = None,
        trace_content: bool = False,
        description: str = "",
        expected_errors: type[Exception] | Iterable[type[Exception]] | None = None,
        concurrency: int | None = None,
        node: Placement | None = None,
    ) -> None:
        recipe = None if node is None else recipe_of(type(self), node, locals())
        check_agent(name, handler, model, capabilities)
        behaviour = behaviour_of(name, handler, model)
        handler = behaviour.handler
        check_dispatcher(name, handler, dispatcher)
        expected = read_expected_errors(name, expected_errors, has_model=behaviour.waits)
        checks = read_guardrails(name, guardrails)
        given = ModelSpec(
            agent=name, model=model, wrapped=behaviour.wrapped, instructions=instructions,
            description=description, output_schema=output_schema, output_type=output_type,
            tools=tools, model_settings=model_settings, usage_limits=usage_limits,
            fallback_models=fallback_models, guardrails=checks, history=history, deps=deps,
            retries=retries, approve=approve, trace_content=trace_content,
        )  # fmt: skip
        self.name, self.model = name, model
        self.instructions, self.description = instructions, description
        self.capabilities: tuple[str, ...] = tuple(capabilities)
        self.model_spec = model_spec_of(given, has_model=handler is None)
        """What an agent with a model was made of; None for one with a handler."""
        if self.model_spec is not None:
            handler = model_handler(self.model_spec)
        if checks:
            handler, dispatcher = guarded_handler(name, handler, checks, dispatcher), None
        if dispatcher is None:
            dispatcher = "event_loop" if is_async_handler(handler) else "thread"
        spec = self._spec = AgentSpec(name, handler, dispatcher, mailbox, on_start, on_stop)
        spec.expected_errors = expected
        spec.recipe, spec.concurrency = recipe, concurrency_of(name, concurrency, behaviour.waits)
        spec.in_sessions = self.model_spec is not None and history is not False
        self._homes = AddressBook[AgentAddress]()
        _directory.enter(self, sys._getframe(2))  # pyright: ignore[reportPrivateUsage] - the cheap way

    if not TYPE_CHECKING:  # or checkers would take every attribute for one

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name, AGENT_ATTRIBUTES)

    def __repr__(self) -> str:
        if self.model is not None:
            return f"<Agent {self.name!r}, model {shown(self.model, 60)}>"
        handler = self._spec.handler
        name = attribute_of(handler, "__qualname__") or type(handler).__name__
        return f"<Agent {self.name!r}, handler {name} ({self.dispatcher})>"

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
        session: str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the handler's result for *payload*.

        Raises `AgentFailed` (the handler's exception is its ``__cause__``; ``expected`` tells that it
        was the failure of this request alone, and the agent lives), `AgentTimeout` after
        *timeout* seconds from now, waiting for its turn included, `AgentStopped` if it was stopped for
        good. On a timeout, and when the
        awaiting code is cancelled, the work itself is cancelled; a handler that does not obey, or
        that blocks a thread, is left behind, and a fresh incarnation takes over. *context* is what
        the handler finds in `agent_context()`; *session*, in it, names the conversation that this
        belongs to.
        """
        return await self.request(payload, timeout, session=session, context=context)

    async def run(
        self,
        payload: Any = None,
        timeout: float | None = None,
        *,
        session: str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> AgentResult:
        """Return the whole result for *payload*: the answer, its usage, and the new messages.

        Raises what `ask` raises.
        """
        context = {**(context or {}), WHOLE_RESULT: True}
        answer = await self.request(payload, timeout, session=session, context=context)
        return answer if type(answer) is AgentResult else AgentResult(answer)

    def ask_sync(
        self,
        payload: Any = None,
        timeout: float | None = None,
        *,
        session: str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return what `ask` returns, for code without an event loop; this thread waits meanwhile.

        The agent works in the current system: where no loop runs, that is one in the background,
        which lives until the program ends. Raises what `ask` raises, and `WouldBlock` in a thread
        that runs an event loop, as a notebook's does: write ``await agent.ask(payload)`` there.
        """
        refuse_on_a_loop(f"agent.ask_sync(...) of {self.name!r}", "await agent.ask(...)")
        return in_this_thread(lambda: self.ask(payload, timeout, session=session, context=context))

    def stream(
        self,
        payload: Any = None,
        timeout: float | None = None,
        *,
        session: str | None = None,
        context: Mapping[str, Any] | None = None,
        system: ActorSystem | None = None,
    ) -> AgentStream:
        """Return the parts of the answer to *payload*, to be read while the agent makes them.

        Of an agent with a model these are `TextDelta`, `ThinkingDelta`, `ToolCall` and `ToolResult`; of
        one with a handler what that sends with `send_chunk`, or yields, if it is an async generator.
        The last is the `Answer`. The loop over them raises what `ask` raises; leaving it cancels the
        work.
        """

        def start(sink: PartSink) -> AgentRequest:
            given = {**(context or {}), WHOLE_RESULT: True, CHUNKS: sink}
            return self.request(payload, timeout, session=session, context=given, system=system)

        return AgentStream(self.name, start)

    def request(
        self,
        payload: Any = None,
        timeout: float | None = None,
        *,
        session: str | None = None,
        context: Mapping[str, Any] | None = None,
        system: ActorSystem | None = None,
        kind: type[AgentRequest] = AgentRequest,
    ) -> AgentRequest:
        """Return an awaitable for what `ask` returns: cheaper to await many of (see `gather`)."""
        if session is not None:
            context = in_session(self.name, session, context)
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
        session: str | None = None,
        context: Mapping[str, Any] | None = None,
        system: ActorSystem | None = None,
    ) -> None:
        """Give the agent *payload* to handle, and wait for nothing."""
        if session is not None:
            context = in_session(self.name, session, context)
        home = self.address_for(system)
        if home.closed is not None:
            raise AgentStopped(self.name, home.closed)
        work = work_from_here(self.name, payload, context, home.system)
        if work.context is not None:
            # Nothing waits for it: its inner steps are not those of what the asker works on.
            work.context = dict(work.context)
        home.tell(work)

    def on_message(self, fn: F) -> F:
        """Register *fn* for the messages of the agent's inbox (``type``, ``content``, ``sender``).

        Several are called in the order of registration. Use it as a decorator.
        """
        self._spec.on_message = (*self._spec.on_message, fn)
        return fn

    # -- its sessions --------------------------------------------------------------------------

    def session(self, session: str, *, system: ActorSystem | None = None) -> AgentSession:
        """Return the conversation of that name: what is kept of it, and how it is cleared.

        ::

            await agent.session("user-17").messages()
            await agent.session("user-17").clear()

        Raises `NoSessions` for an agent that keeps none.
        """
        check_session(self.name, session)
        return self._sessions(system).session(session)

    async def sessions(
        self,
        *,
        limit: int = 100,
        before: float | None = None,
        system: ActorSystem | None = None,
    ) -> list[Any]:
        """Return up to *limit* of its sessions, those used last first, with their numbers and dates.

        *before* (seconds since the epoch) leaves out those that were used then or since: the
        ``updated_at`` of the last of a list begins the next.
        """
        return await self._sessions(system).list(limit, before)

    async def forget_sessions(
        self,
        *sessions: str,
        unused_since: float | None = None,
        system: ActorSystem | None = None,
    ) -> int:
        """Forget those sessions, those not used since then, or all; return how many there were."""
        return await self._sessions(system).forget(sessions, unused_since)

    def _sessions(self, system: ActorSystem | None) -> KeptSessions:
        return sessions_of(self.name, self.model_spec, self.address_for(system).system)

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

    @property
    def usage(self) -> Usage:
        """What it has spent itself on its model since the system began, where `is_alive` looks.

        What the agents that it asks spend is theirs; the usage of an answer includes it (`run`).
        """
        home = self._address_or_none()
        return spent_by(None if home is None else home.system, self.model_spec)

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
    from), else the only one that lives. A team that is a supervised child is found by the name that it
    has as one. Raises `UnknownAgent`, with the near names, if there is
    none, and `AmbiguousAgent` if there are several that other tasks have made.
    """
    return _directory.find(name, where=where)


def alias_agent(agent: Named, name: str, maker: FrameType) -> Callable[[], None]:
    """Let *name* mean *agent* too, as if the code of *maker* had made it; return what ends that.

    What has no entry of its own and is asked as an agent is, such as a team, may be given as well. It
    keeps nothing alive.
    """
    return partial(_directory.leave, _directory.enter(cast("Agent", agent), maker, name))


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
