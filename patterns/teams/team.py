"""`AgentTeam`: agents in roles, working together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from agenticaiframework.actors import (
    SESSION,
    Actor,
    ActorRef,
    ActorSystem,
    agents_from_here,
    explained,
    nested_context,
    no_attribute,
    shown,
)

from ..definition.definition import define
from ..definition.drawing import Drawing
from ..definition.errors import DefinitionError
from ..definition.policy import Fallback
from ..execution.coordinator import run_to_end
from ..execution.execution import Execution
from ..execution.stream import EmitEvent, EventStream
from ..vocabulary.bound_names import BoundNames
from ..vocabulary.target import Resolver, Scope, Target, target_name
from .communication import Communication, speaker
from .config import TeamConfig
from .data import draw_team, read_team, team_to_dict
from .discussion import Discussion, DiscussionJob
from .errors import TeamError
from .handoff import AgentHandoff
from .home import TeamHome
from .job import TeamJob
from .membership import Membership
from .message import Protocol, TeamMessage
from .result import TeamResult
from .role import AgentRole
from .roster import Member, participants_of
from .service import TeamService
from .swarm import SwarmJob
from .swarm_tools import SwarmTools, rules_of
from .task import TaskJob
from .team_actor import Busy, History, Said
from .workflow import TeamStep, WorkflowJob, read_workflow

_MEMBERS: Final = (
    "Members have roles: AgentTeam('writers', roles=[AgentRole(name='writer')]), and then "
    "team.assign_agent(agent, 'writer')."
)
_TASK: Final = (
    "`await team.execute_task(task)`, or run_sync(team.execute_task(task)) without an event loop."
)
_ASSIGN: Final = (
    "team.assign_agent(agent, 'writer'), after team.add_role(AgentRole(name='writer'))."
)
_TRIED: Final = {
    "add": _ASSIGN,
    "add_agent": _ASSIGN,
    "add_agents": _ASSIGN,
    "add_member": _ASSIGN,
    "assign": _ASSIGN,
    "execute": _TASK,
    "execute_sync": _TASK,
    "invoke": _TASK,
    "kickoff": _TASK,
    "run": _TASK,
    "run_sync": _TASK,
    "start": _TASK,
}
"""Methods of teams elsewhere."""


class AgentTeam:
    """Agents in roles, that work on tasks together: a blueprint plus an address, like an `Agent`.

    Making one starts nothing and needs no loop. The team's actor starts with its first work, or
    under the supervisor that was given the team; it starts a coordinator for each piece of work,
    which ends with it. The members are agents of their own: their supervisors restart them. A team
    stands wherever an agent can (`ask` executes a task).

    *name* is what others call it, *config* says how it works together (`TeamConfig`), *roles* are
    what its members are for (`AgentRole`), and *resolver* finds agents that are given by their names.

    Roles and members may change at any time; work that has started keeps those it started with.
    A member that is given by its name is bound to its agent then, as in a pattern.
    """

    @explained(
        "AgentTeam('writers', roles=[AgentRole(name='writer')])",
        agents=_MEMBERS,
        members=_MEMBERS,
        tasks="A team is given its task by `await team.execute_task(task)`.",
    )
    def __init__(
        self,
        name: str,
        config: TeamConfig | Mapping[str, Any] | None = None,
        *,
        roles: Iterable[AgentRole | Mapping[str, Any]] = (),
        resolver: Resolver | None = None,
    ) -> None:
        if not isinstance(name, str) or not name.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TeamError(str(name), f"a team's name is a non-empty text, not {name!r}.")
        if not isinstance(config, TeamConfig | Mapping | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(
                f"AgentTeam {name!r}",
                [f"its config is a TeamConfig or a mapping, not {shown(config, 60)}. {_MEMBERS}"],
                "AgentTeam('writers', TeamConfig(mode='swarm'))",
            )
        self.name = name
        self.config = (
            config
            if isinstance(config, TeamConfig)
            else define(TeamConfig, f"the config of team {name!r}", dict(config or {}))
        )
        self.resolver = resolver
        """Finds members that were given as names; an engine puts its own here."""
        self._membership = Membership(name, self.config)
        self._names = BoundNames()
        self._names.bind(self._named())
        self._communication = Communication(name)
        self._service = TeamService(name)
        self._tools: SwarmTools | None = None
        for role in roles:
            self.add_role(role)

    if not TYPE_CHECKING:  # or checkers would take every attribute for one

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name, _TRIED)

    def __repr__(self) -> str:
        roles = ", ".join(self.roles) or "no role yet"
        return f"<AgentTeam {self.name!r}: {roles}>"

    # -- roles and members ---------------------------------------------------------------------

    @property
    def roles(self) -> Mapping[str, AgentRole]:
        """The roles by name, in the order in which they were added."""
        return self._membership.roles

    @property
    def members(self) -> tuple[Member, ...]:
        """The members (``name``, ``role``, ``target``), in the order of their assignment."""
        return self._membership.members

    @property
    def handoffs(self) -> tuple[AgentHandoff, ...]:
        """The handoff rules."""
        return self._membership.handoffs

    def agents_in(self, role: str) -> list[Any]:
        """Return the agents of *role*, in the order of their assignment; raises `UnknownMember`."""
        return [member.target for member in self._membership.in_role(role)]

    def add_role(self, role: AgentRole | Mapping[str, Any]) -> None:
        """Add *role*; raises `TeamError` if there is one of that name already."""
        self._membership.add_role(role)

    def assign_agent(self, agent: Target, role: str) -> None:
        """Give *agent* (an Agent, its name, a pattern, another team) the role.

        Harmless if it has it already. Raises `UnknownMember`, `TeamFull`, and `TeamError`
        for another agent of the same name.
        """
        if agent is self:
            raise TeamError(self.name, "it cannot be a member of itself.")
        if not isinstance(cast(Any, role), str):
            raise TeamError(
                self.name,
                f"a role is given by its name, after the agent, and {shown(role, 60)} is not a name. "
                "For example: team.assign_agent(agent, 'researcher')",
            )
        self._membership.assign(agent, role)
        self._names.bind(self._named())

    def unassign_agent(self, agent: Target, role: str | None = None) -> None:
        """Take the role (all its roles, without one) from *agent*; raises `UnknownMember`."""
        self._membership.unassign(agent, role)
        self._names.keep(self._named())

    def auto_assign_agents(self, agents: Iterable[Target]) -> list[Any]:
        """Give *agents* roles by their capabilities, and return those that got none.

        As many as possible get a role, then as fittingly as possible; the order of *agents* makes no
        difference. An agent with a role keeps it, so that doing it twice changes nothing.
        """
        left = list(self._membership.auto_assign(agents))
        self._names.bind(self._named())
        return left

    def configure_handoffs(self, handoffs: Iterable[AgentHandoff | Mapping[str, Any]]) -> None:
        """Replace the handoff rules; they are applied to all work from now on.

        Raises `UnknownMember`, and `TeamError` for two rules with one trigger from one role.
        """
        self._membership.configure_handoffs(handoffs)

    # -- work ----------------------------------------------------------------------------------

    async def execute_task(
        self,
        task: Any,
        coordinator: Target | None = None,
        *,
        timeout: float | None = None,
        session: str | None = None,
        context: Mapping[str, Any] | None = None,
        resolver: Resolver | None = None,
    ) -> TeamResult:
        """Have the team do *task*, and return what each member contributed.

        *coordinator* is a role, of which the least busy member leads, or a member. The leader gets
        the task as it is. If it hands off, the work follows the handoffs; otherwise all others get
        ``{"task", "lead"}`` at the same time. Raises `PatternFailed`, `UnknownMember`,
        `TeamIncomplete`.

        With ``TeamConfig(mode="swarm")`` one member has the conversation at a time. Who has a model sees
        all of it, and hands it over by calling a tool; a handler returns `Handoff`. Any other answer ends
        the task, and is its ``final``. The next task of the same *session* goes to the member that spoke
        last. Handed over to the role ``user``, the team waits for that task (``result.waiting``).
        """
        job = self._task(coordinator)
        scope = self._scope(context, resolver, session)
        result: TeamResult = await self._execute(job, task, timeout, scope)
        return result

    async def execute_workflow(
        self,
        workflow: Iterable[TeamStep | Mapping[str, Any]],
        input_data: Any = None,
        *,
        timeout: float | None = None,
        context: Mapping[str, Any] | None = None,
        resolver: Resolver | None = None,
    ) -> TeamResult:
        """Run the steps of *workflow* in order, each by a member of its role.

        A step is ``{"role": ..., "action": ...}`` with, as needed, ``condition``, ``timeout``,
        ``retry``, ``on_error``. A member gets the input's fields, ``action``, ``role`` and the
        ``previous`` output. Raises `DefinitionError`, `UnknownMember`, `TeamIncomplete` before any
        member works, and `PatternFailed`.
        """
        return await self.workflow_within(
            workflow, input_data, timeout, self._scope(context, resolver)
        )

    async def discuss(
        self,
        topic: Any,
        participants: Iterable[Target] | Target | None = None,
        max_rounds: int = 3,
        *,
        moderator: Target | None = None,
        timeout: float | None = None,
        context: Mapping[str, Any] | None = None,
        resolver: Resolver | None = None,
    ) -> Discussion:
        """Have *participants* (roles or members; None: all) discuss *topic*, and return how it went.

        At most *max_rounds* rounds; `TeamConfig` says in which order they speak and how it is decided.
        """
        if not isinstance(max_rounds, int) or max_rounds < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TeamError(self.name, f"a discussion has at least one round, not {max_rounds!r}.")
        roster = self._membership.roster()
        chosen = moderator or self.config.moderator
        speakers = [
            member
            for member in participants_of(roster, participants)
            if chosen is None or member.target is not roster.moderator(chosen)
        ]
        if not speakers:
            raise TeamError(self.name, "a discussion needs at least one participant.")
        quorum = self.config.quorum
        if quorum is not None and quorum > len(speakers):
            raise TeamError(
                self.name, f"a quorum of {quorum} can never come from {len(speakers)} speakers."
            )
        job = DiscussionJob(roster, speakers, max_rounds, chosen)
        scope = self._scope(context, resolver)
        discussion: Discussion = await self._execute(job, topic, timeout, scope)
        return discussion

    def stream_task(
        self,
        task: Any,
        coordinator: Target | None = None,
        *,
        timeout: float | None = None,
        session: str | None = None,
        context: Mapping[str, Any] | None = None,
        resolver: Resolver | None = None,
    ) -> EventStream:
        """Return the events of `execute_task`, for ``async for``; ``stream.result()`` afterwards."""
        job = self._task(coordinator)
        return self._stream(job, task, timeout, self._scope(context, resolver, session))

    def stream_workflow(
        self,
        workflow: Iterable[TeamStep | Mapping[str, Any]],
        input_data: Any = None,
        *,
        timeout: float | None = None,
        context: Mapping[str, Any] | None = None,
        resolver: Resolver | None = None,
    ) -> EventStream:
        """Return the events of `execute_workflow`, for ``async for``."""
        job = WorkflowJob(self._membership.roster(), read_workflow(self.name, workflow))
        return self._stream(job, input_data, timeout, self._scope(context, resolver))

    # -- as something that is asked ------------------------------------------------------------

    async def ask(
        self,
        payload: Any,
        timeout: float | None = None,
        *,
        session: str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> TeamResult:
        """Have the team do *payload* as a task: what makes it an `Askable`."""
        return await self.execute_task(payload, timeout=timeout, session=session, context=context)

    async def ask_within(self, payload: Any, timeout: float | None, scope: Scope) -> TeamResult:
        """Have the team do *payload* as a task inside another execution."""
        within = self._within(scope)
        result: TeamResult = await self._execute(self._task(None), payload, timeout, within)
        return result

    async def workflow_within(
        self,
        workflow: Iterable[TeamStep | Mapping[str, Any]],
        input_data: Any,
        timeout: float | None,
        scope: Scope,
    ) -> TeamResult:
        """Run *workflow* inside another execution."""
        job = WorkflowJob(self._membership.roster(), read_workflow(self.name, workflow))
        result: TeamResult = await self._execute(job, input_data, timeout, self._within(scope))
        return result

    def _task(self, coordinator: Target | None) -> TeamJob:
        roster = self._membership.roster()
        leaders = roster.leader(coordinator)
        if self.config.mode != "swarm":
            return TaskJob(roster, leaders)
        if self._tools is None or self._tools.roster != roster:
            # Kept, because what is built of it for a member's model is kept with it.
            self._tools = SwarmTools(roster)
        return SwarmJob(roster, leaders, self._tools)

    def _scope(
        self,
        context: Mapping[str, Any] | None,
        resolver: Resolver | None,
        session: str | None = None,
    ) -> Scope:
        if session is not None:
            if not isinstance(cast(Any, session), str) or not session:
                raise TeamError(
                    self.name,
                    "session= is the name of a conversation, a non-empty text, "
                    f'not {session!r}. For example: session="user-17".',
                )
            context = {**(context or {}), SESSION: session}
        return Scope(self._resolver(resolver), nested_context(self.name, context))

    def _resolver(self, resolver: Resolver | None) -> Resolver:
        return self._names.within(resolver or self.resolver or agents_from_here())

    def _within(self, scope: Scope) -> Scope:
        return replace(scope, resolver=self._names.within(scope.resolver))

    def _named(self) -> Iterator[Target]:
        """Yield all that the team may ask: its members, and what its configuration names."""
        yield from (member.target for member in self.members)
        if self.config.moderator is not None:
            yield self.config.moderator
        if isinstance(self.config.on_error, Fallback):
            yield self.config.on_error.fallback

    def _execution(self, job: TeamJob, data: Any, timeout: float | None, scope: Scope) -> Execution:
        limits = self.config.usage_limits
        return Execution(job, data, scope, timeout, ActorSystem.current(), limits)

    async def _execute(self, job: TeamJob, data: Any, timeout: float | None, scope: Scope) -> Any:
        execution = self._execution(job, data, timeout, scope)
        await run_to_end(execution, await self._service.begin(execution))
        if execution.error is not None:
            raise execution.error
        return execution.value

    def _stream(self, job: TeamJob, data: Any, timeout: float | None, scope: Scope) -> EventStream:
        async def start(emit: EmitEvent) -> tuple[Execution, ActorRef[Any]]:
            streamed = Scope(scope.resolver, scope.context, emit, scope.path)
            execution = self._execution(job, data, timeout, streamed)
            return execution, await self._service.begin(execution)

        return EventStream(start)

    # -- communication -------------------------------------------------------------------------

    def enable_communication(
        self, channel: str = "team", protocol: Protocol = "structured"
    ) -> None:
        """Open *channel* and make it the one that messages take.

        *protocol* is ``structured`` (any content, under a type) or ``text`` (nothing but text).
        """
        self._communication.enable(channel, protocol)

    async def send(
        self,
        to: Target,
        content: Any,
        type: str = "message",
        sender: Target | None = None,
        *,
        channel: str | None = None,
    ) -> list[str]:
        """Put one message into the inbox of *to*, a member or a role, and return the names that got it.

        Their `Agent.on_message` gets it (``type``, ``content``, ``sender``, ``channel``), in its own
        time: this does not wait for it.
        """
        roster = self._membership.roster()
        said_by = None if sender is None else target_name(sender)
        return self._deliver(roster.find(to), content, type, said_by, channel)

    async def broadcast(
        self,
        from_agent: Target | None,
        message: Any,
        *,
        type: str = "message",
        channel: str | None = None,
    ) -> list[str]:
        """Put *message* into every other member's inbox, never the sender's; return their names.

        *from_agent* is a member or a role (None: from outside the team). For a role of several
        members it is the one whose handler is calling.
        """
        roster = self._membership.roster()
        named = None if from_agent is None else target_name(from_agent)
        senders = speaker(roster, named)
        others = [member for member in roster.members if member.name not in senders]
        sender = next(iter(senders)) if len(senders) == 1 else named
        return self._deliver(others, message, type, sender, channel)

    async def history(self, channel: str | None = None) -> list[TeamMessage]:
        """Return the latest messages of *channel*, the oldest first; raises for an unknown one."""
        wanted = self._communication.channel(channel)
        messages: list[TeamMessage] = await self._service.ask(
            History(wanted), ActorSystem.current()
        )
        return messages

    def _deliver(
        self,
        members: Iterable[Member],
        content: Any,
        type_: str,
        sender: str | None,
        channel: str | None,
    ) -> list[str]:
        system = ActorSystem.current()
        name, message = self._communication.message(content, type_, sender, channel)
        reached = self._communication.deliver(members, message, self._resolver(None), system)
        self.address(system).tell(Said(name, message))
        return reached

    # -- its actor -----------------------------------------------------------------------------

    async def busy(self) -> dict[str, int]:
        """Return how many turns each member is taking at this moment."""
        names = tuple(dict.fromkeys(member.name for member in self.members))
        turns: dict[str, int] = await self._service.ask(Busy(names), ActorSystem.current())
        return turns

    async def stop(self, reason: Any = "normal", timeout: float | None = None) -> None:
        """End the team's actor, and the work it has under way, and wait for that.

        Its supervisor then does what the restart type says; without one, the next work starts it anew.
        """
        await self._service.stop(reason, timeout)

    def address(self, system: ActorSystem | None = None) -> TeamHome:
        """Return the team's address in *system* (the current one, if not given)."""
        return self._service.address(ActorSystem.current() if system is None else system)

    async def start_under(
        self, parent: Actor, timeout: float | None = None
    ) -> ActorRef[Any] | None:
        """Start the team's actor as a child of *parent*; from now on only *parent* starts it."""
        return await self._service.start_under(parent, timeout)

    def release(self, system: ActorSystem) -> None:
        """Belong to no supervisor any more: the next work starts the team on demand."""
        self._service.release(system)

    # -- as data -------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the team as plain data, its members by name; raises `DefinitionError`."""
        return team_to_dict(
            repr(self), self.name, self.config, self.roles.values(), self.members, self.handoffs
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, resolver: Resolver | None = None) -> AgentTeam:
        """Return the team that *data* defines; raises `DefinitionError`, `TeamError`."""
        definition = read_team(data)
        team = cls(definition.name, definition.config, roles=definition.roles, resolver=resolver)
        for role, agents in definition.members.items():
            for agent in agents:
                team._membership.assign(agent, role)
        team._names = BoundNames()  # as loaded: looked up at each execution
        team.configure_handoffs(definition.handoffs)
        return team

    def mermaid(self) -> str:
        """Return the team drawn as a Mermaid flowchart: roles, members, handoffs.

        A swarm without rules has the handoffs that it makes without them: from each role to each other.
        """
        return self._drawing().text()

    def svg(self) -> str:
        """Return the team drawn as an SVG file, as `mermaid` draws it; a notebook shows it so."""
        return self._drawing().svg(self.name)

    def _drawing(self) -> Drawing:
        drawing = Drawing("TB")
        swarm = self.config.mode == "swarm"
        handoffs = rules_of(self._membership.roster()) if swarm else self.handoffs
        draw_team(drawing, self.roles, self.members, handoffs)
        return drawing

    def _repr_svg_(self) -> str:
        return self.svg()
