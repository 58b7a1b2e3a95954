"""Where a team's actor lives in one system: started on demand, unless a supervisor owns it."""

from __future__ import annotations

from typing import Any

from agenticaiframework.actors import ActorRef, ActorSystem, Address, OwnerLink

from .team_actor import TeamActor


class TeamHome(Address):
    """The lasting address of a team in one system. Owned by the loop of that system."""

    __slots__ = ("_team", "owner")

    def __init__(self, name: str, system: ActorSystem, team: object) -> None:
        super().__init__(name, system)
        self.owner: ActorRef[Any] | None = None
        # A team that nothing holds any more must not leave its idle actor behind.
        self._team = OwnerLink(team, _end_actor)
        self._team.home = self

    @property
    def owned(self) -> bool:
        """Whether a supervisor decides about the next incarnation."""
        return self.owner is not None and self.owner.is_alive()

    def start_on_demand(self) -> None:
        """Start an incarnation, unless that is a supervisor's business or one lives."""
        if self.owned or self.live is not None or not self.system.running:
            return
        self.owner = None
        self.bind(self.system.start(TeamActor, self, _name=self.name))


def _end_actor(link: OwnerLink) -> None:
    """The team is gone; this is the thread that dropped it last."""
    home: TeamHome | None = link.take()
    if home is not None and home.system.running and not home.owned and home.ref is not None:
        home.system.end_actor(home.ref)
