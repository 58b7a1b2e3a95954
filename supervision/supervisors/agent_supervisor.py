"""The supervisor for agents: named children, restart policies, failure handlers, on OTP's machinery."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from agenticaiframework.actors import (
    ActorSystem,
    Agent,
    alias_agent,
    explained,
    near_names,
    no_attribute,
)

from ..machine.requests import RestartChild, TerminateChild
from ..machine.supervisable import Supervisable, child_type_of
from ..machine.supervisor import Supervisor
from ..policy.child_spec import Budget, ChildSpec, Shutdown
from ..policy.flags import SupervisorFlags
from ..policy.restart_policy import RestartPolicy
from ..vocabulary.checks import (
    check_exhausted,
    check_handler,
    check_mailbox,
    check_name,
    check_seconds,
)
from ..vocabulary.errors import (
    BadOption,
    DuplicateChild,
    Refused,
    SupervisorNotRunning,
    UnknownChild,
)
from ..vocabulary.kinds import (
    AutoShutdown,
    ChildState,
    ChildType,
    Exhausted,
    RestartType,
    SupervisionStrategy,
)
from .agent_supervisor_actor import AddChild, AgentSupervisorActor, RemoveChild
from .blueprint import SupervisorBlueprint
from .supervised_child import SupervisedChild
from .targets import target_of

F = TypeVar("F", bound=Callable[..., Any])

Mailbox = Literal["keep", "drop"]

DEFAULT_START_TIMEOUT_S = 30.0
"""Long enough to load a model, short enough that a stuck start does not go unnoticed."""


_TRIED: Final = {
    "add": "supervisor.add_child('worker', agent)",
    "add_agent": "supervisor.add_child('worker', agent)",
    "add_children": "supervisor.add_child('worker', agent), once for each.",
    "register": "supervisor.add_child('worker', agent)",
    "run": "`await supervisor.start()`, or `async with supervisor:`.",
    "spawn": "supervisor.add_child('worker', agent): it is started if the supervisor runs.",
    "start_child": "supervisor.add_child('worker', agent): it is started if the supervisor runs.",
    "start_sync": "Where no event loop runs: run_sync(supervisor.start()), of agenticaiframework.",
    "supervise": "supervisor.add_child('worker', agent)",
}
"""Methods of supervisors elsewhere."""

MAX_ENDED_TEMPORARY = 100
"""Temporary children that have ended and can still be looked at by name."""


class AgentSupervisor(SupervisorBlueprint):
    """Keeps named children running: agents, teams, supervisors, actors, pykka actors, coroutines.

        supervisor = AgentSupervisor(
            "pool", SupervisionStrategy.ONE_FOR_ONE, RestartPolicy(max_restarts=5, within_seconds=60)
        )
        supervisor.add_child("worker", worker_agent)
        await supervisor.start()

    Constructing and `add_child` need no event loop. *name* is what the log, the tree and its own
    supervisor call it. *strategy* says which children are restarted when one fails: that one
    (``one_for_one``), all (``one_for_all``), or it and those behind it (``rest_for_one``).
    *auto_shutdown* has it end when a significant child has, or all of them have.
    *start_timeout_s* is how long a child may take to start, *handler_timeout_s* how long the
    functions given to `on_failure` and `on_max_restarts` may take. *restart_policy* gives the restart type, the
    budget that the children share, and their backoff; a child added with a policy of its own has
    its own budget. *mailbox* as ``"keep"`` (the default) keeps what waits for a child that failed for its
    next incarnation; ``"drop"`` is OTP's way. The message that a child failed on is never sent again.

    With ``max_restarts=5, within_seconds=60``, the sixth failure within a minute is one too many: the
    handler given to `on_max_restarts` is called, the child stays down, and the supervisor lives.
    Without such a handler *exhausted* says what follows. ``"escalate"``, the default under another
    supervisor, is OTP's way: it stops its children and ends, and the one above sees that as a failure
    and restarts the whole subtree. ``"cool_down"``, the default where there is none above, keeps the
    child down for the 60 seconds and then starts it afresh. ``"stop"`` ends it for good. Where none
    is above, the program is told of an end (`ActorSystem.until_signal`, `ActorSystem.gave_up`).
    *exhausted* holds also with a handler, if it is given.

    It owns its children's names; how they are, the records of its actor say. Raises `BadOption` for
    options that make no sense.
    """

    @explained(
        "AgentSupervisor('pool', restart_policy=RestartPolicy(max_restarts=3))",
        agents="Children are added: supervisor.add_child('worker', agent).",
        backoff="It belongs to the policy: restart_policy=RestartPolicy(backoff='exponential').",
        children="Children are added: supervisor.add_child('worker', agent).",
        max_restarts="It belongs to the policy: restart_policy=RestartPolicy(max_restarts=3).",
        policy="restart_policy",
        within_seconds="It belongs to the policy: restart_policy=RestartPolicy(within_seconds=60).",
    )
    def __init__(
        self,
        name: str,
        strategy: SupervisionStrategy | str = SupervisionStrategy.ONE_FOR_ONE,
        restart_policy: RestartPolicy | None = None,
        *,
        mailbox: Mailbox = "keep",
        exhausted: Exhausted | str | None = None,
        auto_shutdown: AutoShutdown | str = AutoShutdown.NEVER,
        start_timeout_s: float | None = DEFAULT_START_TIMEOUT_S,
        handler_timeout_s: float = 30.0,
    ) -> None:
        super().__init__(name)
        policy = RestartPolicy() if restart_policy is None else restart_policy
        if not isinstance(policy, RestartPolicy):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadOption(
                f"AgentSupervisor {name!r}",
                f"restart_policy is {policy!r}",
                "AgentSupervisor('pool', restart_policy=RestartPolicy(max_restarts=3))",
            )
        check_mailbox(f"AgentSupervisor {name!r}", mailbox)
        check_exhausted(f"AgentSupervisor {name!r}", exhausted)
        check_seconds(f"AgentSupervisor {name!r}", "start_timeout_s", start_timeout_s)
        check_seconds(f"AgentSupervisor {name!r}", "handler_timeout_s", handler_timeout_s)
        self.restart_policy = policy
        try:
            self.flags = SupervisorFlags(
                SupervisionStrategy(strategy)
                if strategy in tuple(SupervisionStrategy)
                else strategy,  # type: ignore[arg-type]  # refused there, with a hint
                policy.max_restarts,
                policy.within_seconds,
                AutoShutdown(auto_shutdown)
                if auto_shutdown in tuple(AutoShutdown)
                else auto_shutdown,  # type: ignore[arg-type]
            )
        except BadOption as error:
            raise BadOption(
                f"AgentSupervisor {name!r}",
                error.problem,
                "AgentSupervisor('pool', 'one_for_all', RestartPolicy(max_restarts=3))",
                error.error,
            ) from None
        self.exhausted = None if exhausted is None else Exhausted(exhausted)
        """What it does when a child has failed too often; None: what suits its place."""
        self.mailbox: Mailbox = mailbox
        self.start_timeout_s = start_timeout_s
        self.handler_timeout_s = handler_timeout_s
        self.children: dict[str, SupervisedChild] = {}
        """The children by name, in the order in which they are started."""
        self.failure_handler: Callable[..., Any] | None = None
        self.max_restarts_handler: Callable[..., Any] | None = None
        self._actor: AgentSupervisorActor | None = None
        self._held: dict[int, str] = {}
        """The child that an agent, a team, a supervisor is, by its identity: it can be only one."""
        self._aliases: dict[str, Callable[[], None]] = {}
        """What ends that a child's name means its agent, which has another one itself."""
        self._ended: dict[str, None] = {}
        """Temporary children that have ended, oldest first: only there to be looked at."""

    if not TYPE_CHECKING:  # or checkers would take every attribute for one

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name, _TRIED)

    def __repr__(self) -> str:
        state = "running" if self.is_running else "not running"
        children = "1 child" if len(self.children) == 1 else f"{len(self.children)} children"
        return f"<AgentSupervisor {self.name!r} ({state}, {children})>"

    def _repr_html_(self) -> str:
        return self.tree()._repr_html_()  # pyright: ignore[reportPrivateUsage] - a notebook's name

    # -- children ------------------------------------------------------------------------------

    @explained("supervisor.add_child('worker', agent)")
    def add_child(
        self,
        name: str,
        child: Any,
        *,
        restart_policy: RestartPolicy | None = None,
        restart: RestartType | str | None = None,
        mailbox: Mailbox | None = None,
        shutdown_ms: Shutdown | None = None,
        start_timeout_s: float | None = None,
        significant: bool = False,
    ) -> SupervisedChild:
        """Add *child* under *name*; if the supervisor runs, it is started now.

        *child* is an agent, a team, a supervisor, an Actor class or ``(class, *args)``, a plain
        pykka actor class, or a coroutine function (or ``(function, *args)``). *restart_policy* gives
        it a budget and a backoff of its own; *restart* overrides only the restart type. Patterns find
        an agent also by *name*, and a team by it alone, as if it had been made here under it.

        Returns the child; ``await`` it to wait until it runs. Raises `DuplicateChild`, `BadOption`.
        """
        self._make_room(name, child)
        check_mailbox(f"The child {name!r}", mailbox)
        target = target_of(name, child)
        spec = self._spec_of(
            name, target, restart_policy, restart, shutdown_ms, start_timeout_s, significant
        )
        added = SupervisedChild(self, target, spec, (mailbox or self.mailbox) == "keep")
        self.children[name] = added
        if target is child:
            self._held[id(target)] = name
        if child.name != name if isinstance(child, Agent) else _is_asked_by_name(target, child):
            maker = sys._getframe(2)  # pyright: ignore[reportPrivateUsage] - where this was called
            self._aliases[name] = alias_agent(child, name, maker)
        ref = self.ref
        if ref is not None:
            added.new_record()
            ref.tell(AddChild(added))
        return added

    def _make_room(self, name: str, child: Any) -> None:
        """Check that *child* may be added under *name*; forget one of that name that has ended."""
        check_name(name, f"A child of {self.name!r}", "add_child('worker', agent)")
        if name in self.children:
            if name not in self._ended:
                raise DuplicateChild(self.name, name)
            self.forget(name)
        holder = self._held.get(id(child))
        if holder is not None and holder not in self._ended:
            raise DuplicateChild(self.name, holder, child)
        if child is self or (isinstance(child, AgentSupervisor) and child.contains(self)):
            raise BadOption(
                f"Supervisor {self.name!r}",
                f"adding {child.name!r} would make it its own descendant",
                "root.add_supervisor('io', io_supervisor)",
            )

    def _spec_of(
        self,
        name: str,
        target: Supervisable,
        own: RestartPolicy | None,
        restart: RestartType | str | None,
        shutdown_ms: Shutdown | None,
        start_timeout_s: float | None,
        significant: bool,
    ) -> ChildSpec:
        if significant and self.flags.auto_shutdown is AutoShutdown.NEVER:
            raise BadOption(
                f"The child {name!r}",
                "significant=True needs a supervisor with auto_shutdown",
                f"AgentSupervisor({self.name!r}, auto_shutdown='any_significant')",
            )
        policy = own or self.restart_policy
        child_type = child_type_of(target)
        if start_timeout_s is None and child_type is ChildType.WORKER:
            # A supervisor's start takes what its children's take, and these have limits.
            start_timeout_s = self.start_timeout_s
        return ChildSpec(
            id=name,
            start=target,
            restart=policy.type if restart is None else restart,  # type: ignore[arg-type]
            shutdown_ms=shutdown_ms,
            type=child_type,
            significant=significant,
            start_timeout_s=start_timeout_s,
            budget=None if own is None else Budget(own.max_restarts, own.within_seconds),
            backoff=policy.backoff,
        )

    def add_supervisor(
        self, name: str, supervisor: SupervisorBlueprint, **options: Any
    ) -> SupervisedChild:
        """Add *supervisor* as a child: its failure restarts its whole subtree, and only that."""
        if not isinstance(supervisor, SupervisorBlueprint):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadOption(
                f"Supervisor {self.name!r}",
                f"add_supervisor({name!r}, ...) was given {supervisor!r}, which is not a supervisor",
                f"add_child({name!r}, agent), or add_supervisor({name!r}, AgentSupervisor('io'))",
            )
        return self.add_child(name, supervisor, **options)

    async def remove_child(self, name: str) -> None:
        """Stop the child and forget it. Raises `UnknownChild`.

        May be awaited anywhere, also in the failure handlers of this supervisor.
        """
        child = self._own(name)
        self.forget(name)
        try:
            await self.request(RemoveChild(child))
        except SupervisorNotRunning:
            child.removed()

    async def stop_child(self, name: str) -> None:
        """Stop the child and keep it, down, for `restart_child`. Raises `UnknownChild`."""
        child = self._own(name)
        if not child.state.is_down:
            await self.request(TerminateChild(child.name))

    async def restart_child(self, name: str) -> SupervisedChild:
        """Start a child that is down, or cools down, with those that wait with it, if any do.

        Raises `UnknownChild`, and `Refused` if it does not start.
        """
        child = self._own(name)
        result = await self.request(RestartChild(child.name))
        if not result.is_ok:
            raise Refused(result.error, f"Restarting {name!r}, child of supervisor {self.name!r},")
        return child

    def child(self, name: str) -> SupervisedChild:
        """Return the child of that name; ``"io/reader"`` is the child of a child supervisor.

        Raises `UnknownChild`, with the near names.
        """
        found = self.children.get(name)
        if found is None and "/" in name:
            first, rest = name.split("/", 1)
            below = self.children.get(first)
            if below is not None and isinstance(below.target, AgentSupervisor):
                return below.target.child(rest)
        return self._own(name) if found is None else found

    def _own(self, name: str) -> SupervisedChild:
        try:
            return self.children[name]
        except KeyError:
            raise UnknownChild(self.name, name, self.children) from None

    def contains(self, supervisor: AgentSupervisor) -> bool:
        """Tell whether *supervisor* is somewhere below this one."""
        return any(
            child.target is supervisor
            or (isinstance(child.target, AgentSupervisor) and child.target.contains(supervisor))
            for child in self.children.values()
        )

    async def ask(self, name: str, payload: Any = None, timeout: float | None = None) -> Any:
        """Return the answer of the child *name* to *payload*. See `SupervisedChild.ask`."""
        return await self.child(name).ask(payload, timeout)

    def tell(self, name: str, payload: Any) -> None:
        """Send *payload* to the child *name*."""
        self.child(name).tell(payload)

    # -- failure handlers ----------------------------------------------------------------------

    def on_failure(self, handler: F) -> F:
        """Have ``handler(agent_name, error, restart_count)`` called at each failure of a child.

        It is called before anything else is decided; False stops that child, True or None lets it be
        restarted if the limit allows. *restart_count* is how often the child has been restarted
        before: 0 at the first failure. The handler may be ``async``, may take its time (at most
        *handler_timeout_s*; then, and when it raises, the child is restarted), and may add and remove
        children. Other children's failures are handled meanwhile. Use it as a decorator.
        """
        example = "@supervisor.on_failure async def decide(agent_name, error, restart_count): ..."
        check_handler(f"on_failure of supervisor {self.name!r}", handler, example, 3)
        self.failure_handler = handler
        return handler

    def on_max_restarts(self, handler: F) -> F:
        """Have ``handler(agent_name)`` called once when a child has failed too often.

        With such a handler the child stays down and the supervisor lives, unless *exhausted* was
        given, which then holds. It is called also if the failure handler said False. Use it as a
        decorator.
        """
        example = "@supervisor.on_max_restarts async def replace(agent_name): ..."
        check_handler(f"on_max_restarts of supervisor {self.name!r}", handler, example, 1)
        self.max_restarts_handler = handler
        return handler

    # -- looking -------------------------------------------------------------------------------

    async def wait_until(
        self, name: str, state: ChildState | str = ChildState.RUNNING, timeout: float | None = 30.0
    ) -> SupervisedChild:
        """Wait until the child *name* is in *state*, and return it.

        One that has just died is not running, also while its supervisor has not noticed yet. A
        state that passes (``starting``, ``restarting``, ``deciding``) may be over by the time that
        the awaiting code goes on.

        Raises `UnknownChild`; `WaitTimeout` after *timeout* seconds of the system's time;
        `ChildStopped` at once if it is to run but stays down.
        """
        child = self.child(name)
        if state not in tuple(ChildState):
            raise BadOption(
                f"wait_until of child {name!r}",
                f"the state {state!r} is unknown. {near_names(str(state), ChildState)}".removesuffix(
                    "."
                ),
                "await supervisor.wait_until('worker', 'running')",
            )
        await child.wait_until(ChildState(state), timeout)
        return child

    def __iter__(self) -> Iterator[SupervisedChild]:
        return iter(list(self.children.values()))

    # -- for its actor -------------------------------------------------------------------------

    @property
    def known_system(self) -> ActorSystem:
        """The system that it runs in, or ran in last; the current one if it never ran."""
        system = None if self._ref is None else self._ref.system
        return ActorSystem.current() if system is None else system

    def make_actor(self) -> tuple[type[Supervisor], tuple[Any, ...]]:
        return AgentSupervisorActor, (self,)

    def begin(self, actor: AgentSupervisorActor) -> list[SupervisedChild]:
        """Let *actor* be the incarnation that runs; return the children that it has to start."""
        self._actor = actor
        self._ended.clear()
        self.began(actor.actor_ref)
        return list(self.children.values())

    def ended_for_good(self, reason: Any, *, orderly: bool = False) -> None:
        for child in self.children.values():
            if child.state.is_down or child.state is ChildState.NEW:
                continue
            own = child.own_end(reason)
            child.closed(ChildState.STOPPED, reason, orderly=orderly, last_exit=own)

    def cools_down(self, cause: Any, back_at: float) -> None:
        """Note that the supervisor above lets it cool down until *back_at*, and so its children."""
        for child in self.children.values():
            child.rests(cause, back_at)

    def temporary_ended(self, child: SupervisedChild) -> None:
        """Note that a child has ended for good; only the last few such are kept, to be looked at."""
        if self.children.get(child.name) is child:
            self._ended[child.name] = None
            if len(self._ended) > MAX_ENDED_TEMPORARY:
                self.forget(next(iter(self._ended)))

    def forget(self, name: str) -> None:
        """Forget the child *name*; one that has ended for good is forgotten by the actor too."""
        child = self.children.pop(name, None)
        if child is not None and self._held.get(id(child.target)) == name:
            del self._held[id(child.target)]
        end_alias = self._aliases.pop(name, None)
        if end_alias is not None:
            end_alias()
        if name in self._ended:
            del self._ended[name]
            if self._actor is not None:
                self._actor.named.pop(name, None)


def _is_asked_by_name(target: Supervisable, child: Any) -> bool:
    """Tell whether *child* is asked as an agent is, and has no entry in the directory: a team."""
    return target is child and hasattr(child, "ask") and not isinstance(child, AgentSupervisor)
