"""The channels of a team, and the delivery of messages over them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agenticaiframework.actors import (
    ActorDied,
    ActorSystem,
    Agent,
    agent_context,
    near_names,
    running_here,
    with_context,
)

from ..definition.errors import DefinitionError
from ..vocabulary.target import Resolver
from .errors import TeamError
from .message import DEFAULT_CHANNEL, Protocol, TeamMessage, as_message, check_message
from .roster import Member, Roster

MEMBER = "member"
"""Where a member's handler finds its own name in `agent_context`, while it works for its team."""

PROTOCOLS: tuple[Protocol, ...] = ("structured", "text")


class Communication:
    """The channels of one team. Owned by the code that puts the team together.

    A message goes into the inboxes of agents (`Agent.on_message`), apart from their work, and is not
    waited for: members may answer each other without waiting for themselves.
    """

    def __init__(self, team: str) -> None:
        self._team = team
        self._channels: dict[str, Protocol] = {}

    @property
    def default(self) -> str:
        """The channel that messages take if none is named: the one enabled last."""
        return next(reversed(self._channels), DEFAULT_CHANNEL)

    def enable(self, channel: str, protocol: Protocol) -> None:
        """Open *channel*; raises `DefinitionError` for one without a name or an unknown protocol."""
        if not isinstance(channel, str) or not channel.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(
                f"a channel of team {self._team!r}",
                [f"a channel's name is a non-empty text, not {channel!r}"],
                'team.enable_communication(channel="team_chat")',
            )
        if protocol not in PROTOCOLS:
            raise DefinitionError(
                f"the channel {channel!r} of team {self._team!r}",
                [f"unknown protocol {protocol!r}. {near_names(str(protocol), PROTOCOLS)}"],
                'team.enable_communication(channel="team_chat", protocol="structured")',
            )
        self._channels.pop(channel, None)
        self._channels[channel] = protocol

    def message(
        self, content: Any, type_: str, sender: str | None, channel: str | None
    ) -> tuple[str, TeamMessage]:
        """Return the channel and the checked message; raises for an unknown channel."""
        name = self.channel(channel)
        message = as_message(content, type_, sender, name)
        check_message(self._team, message, self._channels.get(name, "structured"))
        return name, message

    def channel(self, channel: str | None) -> str:
        """Return the name of *channel*, the default one for None; raises for an unknown one."""
        name = channel or self.default
        known = self._channels or (DEFAULT_CHANNEL,)
        if name not in known:
            raise TeamError(
                self._team,
                f"there is no channel {name!r}. {near_names(name, known)} "
                f"Open it with team.enable_communication(channel={name!r}).",
            )
        return name

    def deliver(
        self,
        members: Iterable[Member],
        message: TeamMessage,
        resolver: Resolver,
        system: ActorSystem,
    ) -> list[str]:
        """Put *message* into the inbox of each of *members* that has one; return the names of those that got it.

        One that has been stopped for good gets nothing: the message is a dead letter.
        """
        reached: list[str] = []
        for member in {member.name: member for member in members}.values():
            target = member.target
            agent: Any = resolver(target) if isinstance(target, str) else target
            if not isinstance(agent, Agent):
                continue
            try:
                agent.address_for(system).tell(with_context(message))
            except ActorDied as error:
                system.dead_letter(message, member.name, error)
            else:
                reached.append(member.name)
        return reached


def speaker(roster: Roster, name: str | None) -> set[str]:
    """Return the names of the members that *name*, a member or a role, means as a sender.

    A role with several members means the one whose handler is running, if it is one of them; else
    all of them, because a message must never come back to its sender.
    """
    if name is None:
        return set()
    members = {member.name for member in roster.find(name)}
    # A handler in a worker's thread is as much a member's as one on the loop. What a handler starts
    # (a task, a function in another thread) is known by the context that it inherits.
    running = running_here()
    for own in (None if running is None else running.name, agent_context().get(MEMBER)):
        if own in members:
            return {own}
    return members
