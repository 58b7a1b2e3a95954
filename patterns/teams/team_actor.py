"""The team's actor: it starts the coordinators of the team's work, and knows how busy its members are."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from agenticaiframework.actors import SHUTDOWN, Actor, ActorRef, Address, Exit

from ..execution.coordinator import StreamedCoordinator
from ..execution.execution import Execution
from .conversation import SessionTalk
from .message import HISTORY, TeamMessage
from .notes import NotesActor, SharedNotes
from .seats import Seats


@dataclass(slots=True)
class Begin:
    """Start the coordinator of *execution*; the answer is its ref.

    It is also kept here, for an asker that was cancelled before it saw the answer.
    """

    execution: Execution
    coordinator: ActorRef[Any] | None = None


@dataclass(frozen=True, slots=True)
class TakeSeat:
    """Choose the least busy of *members* for a turn; the answer is its name."""

    members: tuple[str, ...]
    holder: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class LeaveSeat:
    """The turn of *name* is over."""

    name: str
    holder: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class Said:
    """Remember *message* in its channel."""

    channel: str
    message: TeamMessage


@dataclass(frozen=True, slots=True)
class History:
    """Ask for the messages of a channel, the oldest first."""

    channel: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Ask how many turns each of *names* is taking."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Talk:
    """Ask for the conversation of a session."""

    session: str


class TeamActor(Actor):
    """One incarnation of a team.

    The coordinators of the team's work are linked to it: they end with the team, while a coordinator
    that is killed does not end the team, which traps exits.
    """

    crash_on_ask_error = True
    exit_is_crash = True

    def __init__(self, home: Address) -> None:
        super().__init__()
        self.trap_exit = True
        self.home = home
        """The team's address, which has to hear when the team is gone: it lives as long as this."""
        self._seats = Seats()
        self._coordinators: set[Any] = set()
        self._channels: dict[str, deque[TeamMessage]] = {}
        self._talks: dict[str, SessionTalk] = {}

    def on_receive(self, message: Any) -> Any:
        match message:
            case TakeSeat(members, holder):
                # The news of the holder's end may have overtaken this; and one that an earlier
                # incarnation started, whose message was kept over the restart, is about to end.
                if self._is_wanted():
                    known = holder in self._coordinators
                    return self._seats.take(members, holder) if known else members[0]
            case LeaveSeat(name, holder):
                self._seats.leave(name, holder)
            case Begin(execution):
                if self._is_wanted():
                    ref = self.spawn(TeamCoordinator, execution, self.actor_ref)
                    self._coordinators.add(ref)
                    message.coordinator = ref
                    return ref
            case Exit(ref, _):
                self._coordinators.discard(ref)
                self._seats.forget(ref)
            case Said(channel, said):
                self._channels.setdefault(channel, deque(maxlen=HISTORY)).append(said)
            case History(channel):
                return list(self._channels.get(channel, ()))
            case Talk(session):
                return self._talks.setdefault(session, SessionTalk())
            case Busy(names):
                return self._seats.busy(names)
            case _:
                # Nothing else is ever sent here by a team; a stray message must not crash it.
                self.system.dead_letter(message, self.actor_ref.label, "not a team's message")
        return None

    def _is_wanted(self) -> bool:
        """Whether the asker of the message that is being handled still waits for the answer."""
        request = self.current_request
        return request is not None and request.asker_waiting


class TeamCoordinator(StreamedCoordinator):
    """Runs one piece of a team's work: a task, a workflow, a discussion."""

    coordinates = "team"

    def __init__(self, execution: Execution, team: ActorRef[TeamActor]) -> None:
        super().__init__(execution)
        self._team = team
        self._notes: ActorRef[NotesActor] | None = None
        job: Any = execution.pattern
        job.coordinator = self

    def notes(self) -> SharedNotes:
        """Start the shared notes of this work, which end with it."""
        self._notes = self.spawn(NotesActor)
        return SharedNotes(self._notes)

    def on_stop(self) -> None:
        # A normal end does not travel along links.
        if self._notes is not None:
            self._notes.exit(SHUTDOWN)
        super().on_stop()

    async def talk(self, session: str) -> SessionTalk:
        """Return the conversation of *session* between the team and its user."""
        talk: SessionTalk = await self._team.request(Talk(session))
        return talk

    async def take_seat(self, members: tuple[str, ...]) -> str:
        """Return the least busy of *members*, for a turn."""
        name: str = await self._team.request(TakeSeat(members, self.actor_ref))
        return name

    def leave_seat(self, name: str) -> None:
        """Say that the turn of *name* is over."""
        if self._team.is_alive():
            self._team.tell(LeaveSeat(name, self.actor_ref))
