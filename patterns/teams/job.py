"""A piece of a team's work, and the turns of its members."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from agenticaiframework.actors import AgentStopped, Converse, Guards, Talk, talk_keeper

from ..definition.policy import NO_POLICY, WorkPolicy
from ..execution.execution import Execution
from ..vocabulary.errors import LimitReached, NotCompleted, PatternFailed, work_failed
from ..vocabulary.outcome import Completed, Failed, Outcome, Skipped, describe_error
from ..vocabulary.target import Target
from .communication import MEMBER
from .errors import TeamIncomplete
from .handoff import USER, Handed, HandoffRecord, contribution, fired, without_handoff
from .notes import NOTES, SharedNotes
from .result import TeamResult
from .roster import Member, Roster
from .shared import SharedHistory, session_of, shared_context

if TYPE_CHECKING:
    from .team_actor import TeamCoordinator


T = TypeVar("T")


class TeamJob(ABC):
    """A task, a workflow or a discussion under way. Owned by its coordinator; used once."""

    coordinator: TeamCoordinator
    """Set by the coordinator itself."""

    def __init__(self, roster: Roster) -> None:
        self.roster = roster
        self.name = roster.team
        self.values: dict[str, Any] = {}
        """What the result maps, in order."""
        self.final: Any = None
        self.missing: dict[str, Outcome] = {}
        self.handoffs: list[HandoffRecord] = []
        self._names: dict[str, int] = {}
        self._notes: SharedNotes | None = None
        config = roster.config
        self.guards = Guards(roster.team, config.guardrails)
        self._policy: WorkPolicy = NO_POLICY if config.plain else config
        self._shared: SharedHistory | None = None
        """What all members are shown, in a team with one history."""

    @property
    def identity(self) -> Any:
        """What tells a team's work within its own work from that of others: the team's name."""
        return self.name

    @property
    def metered_as(self) -> str:
        """What kind of work it is, in the errors of its limits."""
        return "team"

    def targets(self) -> Iterable[Target]:
        """Return all targets that may be asked."""
        return self.roster.targets()

    @abstractmethod
    async def coordinate(self, run: Execution) -> Any:
        """Return the result, or raise `PatternFailed`."""

    async def result(self, run: Execution) -> TeamResult:
        """Return what has been made so far as the team's result."""
        notes = {} if self._notes is None else await self._notes.all()
        return TeamResult(
            self.values,
            final=self.final,
            outcomes=run.outcomes,
            missing=self.missing,
            handoffs=self.handoffs,
            notes=notes,
            usage=run.usage,
        )

    def work_name(self, label: str) -> str:
        """Return *label*, numbered if it has been used already."""
        count = self._names[label] = self._names.get(label, 0) + 1
        return label if count == 1 else f"{label}#{count}"

    # -- turns ---------------------------------------------------------------------------------

    async def turn(
        self,
        run: Execution,
        members: Sequence[Member],
        payload: Any,
        *,
        label: str | None = None,
        policy: WorkPolicy | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> tuple[str, Member, Outcome]:
        """Have the least busy of *members* take a turn; return its name, the member, and the outcome.

        One that has been stopped for good is replaced by another of *members*; when none is left, the
        outcome is a failure with `TeamIncomplete`.
        """
        left = {member.name: member for member in members}
        tried: list[str] = []
        name = ""
        while True:
            chosen = left.pop(await self.coordinator.take_seat(tuple(left)))
            tried.append(chosen.name)
            if not name:
                name = self.work_name(label or chosen.name)
            try:
                outcome = await self._perform(run, name, chosen, payload, policy, context)
            finally:
                self.coordinator.leave_seat(chosen.name)
            if not lost(outcome):
                return name, chosen, outcome
            if left:
                run.handed_off(chosen.name, next(iter(left)), "lost")
                continue
            error = TeamIncomplete(self.name, chosen.role, tried)
            error.__cause__ = outcome.cause
            failed = Failed(
                chosen.name, outcome.started_at, outcome.ended_at, outcome.attempts,
                outcome.incarnation, error,
            )  # fmt: skip
            return name, chosen, run.settle(name, failed)

    async def _perform(
        self,
        run: Execution,
        name: str,
        member: Member,
        payload: Any,
        policy: WorkPolicy | None,
        context: Mapping[str, Any] | None,
    ) -> Outcome:
        policy = self._policy if policy is None else policy
        own = self._context(member, context)
        shared = self._shared
        if shared is None:
            return await run.perform(name, member.target, payload, policy, own)
        share = shared.share(member.name, payload)
        own.update(shared_context(share))
        outcome = await run.perform(name, member.target, payload, policy, own)
        if isinstance(outcome, Completed):
            shared.add(member.name, member.role, outcome.value, share.added)
        return outcome

    async def sharing(self, run: Execution, work: Callable[[], Awaitable[T]]) -> T:
        """Return what *work* returns: with one history for all members, if the team has one.

        In a session that goes on where the task before has left it, and is kept if this one succeeds.
        """
        if not self.roster.config.shared_history:
            return await work()
        results: list[T] = []

        async def converse(talk: Talk) -> Talk:
            shared = self._shared = SharedHistory.of(talk.items)
            shared.add(USER, USER, run.input)
            results.append(await work())
            return replace(talk, items=(*talk.items, *shared.items()))

        await self.in_session(run, session_of(run), converse)
        return results[-1]

    async def in_session(self, run: Execution, session: str | None, converse: Converse) -> None:
        """Have *converse* take a turn in the conversation of *session*; without one, in a new one."""
        keeper = None if session is None else await talk_keeper()
        if session is None:
            await converse(Talk())
        elif keeper is None:
            await (await self.coordinator.talk(session)).turn(converse)
        else:
            history = self.roster.config.history
            await keeper.turn(run.system, self.name, history, session, converse)

    def _context(self, member: Member, added: Mapping[str, Any] | None) -> dict[str, Any]:
        if self._notes is None:
            self._notes = self.coordinator.notes()
        own = {"team": self.name, "role": member.role, MEMBER: member.name, NOTES: self._notes}
        return {**own, **(added or {})}

    def needed(self, run: Execution, name: str, outcome: Outcome, what: str) -> Any:
        """Return the value of a turn that the rest stands on; raise if there is none.

        Raises `NotCompleted` for one that may be left out.
        """
        if isinstance(outcome, Completed):
            return outcome.value
        if isinstance(outcome, Skipped):
            self.missing[name] = outcome
            raise NotCompleted(outcome)
        raise work_failed(self.name, name, outcome, run.outcomes, what)

    # -- handoffs ------------------------------------------------------------------------------

    def fired(self, role: str, answer: Any) -> Handed | None:
        """Return the handoff that *answer* of a member of *role* fires."""
        return fired(self.name, self.roster.handoffs, role, answer)

    def hand_over(self, run: Execution, member: Member, handed: Handed) -> Any:
        """Note that *handed* happens, and return what the next member gets."""
        rule = handed.rule
        limit = self.roster.config.max_handoffs
        if len(self.handoffs) >= limit:
            trail = " -> ".join(
                [*(h.from_role for h in self.handoffs[-5:]), member.role, rule.to_role]
            )
            raise LimitReached(
                self.name, "handoffs", limit, trail, "TeamConfig.max_handoffs", run.outcomes
            )
        self.handoffs.append(HandoffRecord(member.name, member.role, rule.to_role, rule.trigger))
        run.handed_off(member.name, rule.to_role, rule.trigger)
        try:
            return rule.transform(handed.data)
        except Exception as error:
            raise PatternFailed(
                self.name,
                f"failed: the data_transform of the handoff {rule.trigger!r} from "
                f"{rule.from_role!r} to {rule.to_role!r} raised {describe_error(error)}",
                run.outcomes,
                cause=error,
            ) from error

    async def follow(
        self, run: Execution, member: Member, handed: Handed, until: str | None = None
    ) -> tuple[Any, bool]:
        """Follow handoffs from *member* on, until a turn ends without one.

        Return the last output and False; or, once a handoff goes to the role *until*, what that role
        is to get, and True.
        """
        while True:
            data = self.hand_over(run, member, handed)
            to_role = handed.rule.to_role
            if to_role == until:
                return data, True
            context = {"handed_off_by": member.name, "trigger": handed.rule.trigger}
            name, member, outcome = await self.turn(
                run, self.roster.of_role(to_role), data, context=context
            )
            try:
                answer = self.needed(run, name, outcome, f"handed off to {to_role!r}")
            except NotCompleted:
                return data, False
            following = self.fired(member.role, answer)
            self.add(name, contribution(answer, following))
            if following is None:
                return answer, False
            handed = following

    def add(self, name: str, answer: Any) -> None:
        """Add what the turn *name* gave to the result."""
        self.values[name] = self.final = without_handoff(answer)


def lost(outcome: Outcome) -> bool:
    """Tell whether *outcome* says that the agent has been stopped for good."""
    return isinstance(outcome, Failed) and isinstance(outcome.cause, AgentStopped)
