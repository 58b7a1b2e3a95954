"""The way to a team's actor: found or started in each system, asked, supervised, stopped."""

from __future__ import annotations

from typing import Any

from agenticaiframework.actors import Actor, ActorDied, ActorRef, ActorSystem, AddressBook, is_word

from ..execution.coordinator import stop_execution
from ..execution.execution import Execution
from .errors import TeamError
from .home import TeamHome
from .team_actor import Begin, TeamActor

TRIES = 3
"""How often the team's actor is asked, if it dies meanwhile, before it counts as unavailable."""


class TeamService:
    """The actors of one team, one in each system. Owned by the team: they end when it goes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._homes = AddressBook[TeamHome]()

    async def begin(self, execution: Execution) -> ActorRef[Any]:
        """Have the team's actor start the coordinator of *execution*, and return its ref."""
        begin = Begin(execution)
        try:
            ref: ActorRef[Any] = await self.ask(begin, execution.system)
            return ref
        except BaseException:
            if begin.coordinator is not None:
                await stop_execution(execution, begin.coordinator)
            raise

    async def ask(self, message: Any, system: ActorSystem) -> Any:
        """Return the answer of the team's actor, also if it dies before it comes to the message.

        What it is asked may be asked again: it has begun nothing if it has not answered.
        """
        home = self.address(system)
        for attempt in range(1, TRIES + 1):
            try:
                return await home.request(message)
            except ActorDied as error:
                if attempt == TRIES or home.closed is not None:
                    raise TeamError(
                        self._name, f"cannot work: its actor is gone ({error.reason!r})."
                    ) from error
        raise AssertionError("the last try returns or raises")

    async def stop(self, reason: Any, timeout: float | None) -> None:
        """End the team's actor, and the work it has under way, and wait for that."""
        home = self.address(ActorSystem.current())
        ref = home.live
        if ref is not None:
            # A normal end does not travel along links, and the work under way is to end too.
            home.system.end_actor(ref, "shutdown" if is_word(reason, "normal") else reason)
            await home.system.wait_ended(ref, timeout)

    def address(self, system: ActorSystem) -> TeamHome:
        """Return the team's address in *system*."""
        return self._homes.of(system, lambda it: TeamHome(self._name, it, self))

    async def start_under(self, parent: Actor, timeout: float | None) -> ActorRef[Any] | None:
        """Start the team's actor as a child of *parent*; from now on only *parent* starts it."""
        home = self.address(parent.system)
        if home.owned and home.owner is not parent.actor_ref:
            raise TeamError(
                self._name, "it already belongs to a supervisor. Remove it there first."
            )
        home.owner = parent.actor_ref
        home.reopen()
        running = home.live
        if running is not None:
            parent.adopt(running)
            return running
        ref = await parent.start_link(
            TeamActor, home, name=self._name, timeout=timeout, mailbox_to=home
        )
        if ref is not None:
            home.bind(ref)
        return ref

    def release(self, system: ActorSystem) -> None:
        """Belong to no supervisor any more: the next work starts the team on demand."""
        home = self.address(system)
        home.owner = None
        home.reopen()
