"""Where a team's actor lives in one system: started on demand, unless a supervisor owns it."""

from __future__ import annotations

import weakref
from typing import Any

from agenticaiframework.actors import ActorRef, ActorSystem, Address

from .team_actor import TeamActor


class TeamHome(Address):
    """The lasting address of a team in one system. Owned by the loop of that system."""

    __slots__ = ("_finalizer", "owner")

    def __init__(self, name: str, system: ActorSystem, team: object) -> None:
        super().__init__(name, system)
        self.owner: ActorRef[Any] | None = None
        # A team that nobody holds any more must not leave its idle actor behind. It knows this home
        # itself, and not by a weak reference: one that goes together with the team, in a circle of
        # garbage, would be no more when it is looked for.
        self._finalizer = weakref.finalize(team, _end, self)
        self._finalizer.atexit = False

    def forget(self) -> None:
        """Be of no use any more: the system has ended, and so have its actors."""
        self._finalizer.detach()

    @property
    def owned(self) -> bool:
        """Whether a supervisor decides about the next incarnation."""
        return self.owner is not None and self.owner.is_alive()

    def start_on_demand(self) -> None:
        """Start an incarnation, unless that is a supervisor's business or one lives."""
        if self.owned or self.live is not None or not self.system.running:
            return
        self.owner = None
        self.bind(self.system.start(TeamActor, _name=self.name))


def _end(home: TeamHome) -> None:
    if home.system.running and not home.owned and home.ref is not None:
        home.system.end_actor(home.ref)
