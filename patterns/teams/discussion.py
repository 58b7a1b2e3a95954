"""A discussion: members speak in rounds, hear each other, and come to a decision or do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from agenticaiframework.actors import NO_USAGE, TurnShape, Usage

from ..execution.choices import choice, one_of, plain, turn_for
from ..execution.execution import Execution
from ..execution.task_bag import TaskBag
from ..kinds.voting import Tally, position_of, tally
from ..vocabulary.errors import PatternFailed, work_failed
from ..vocabulary.outcome import Completed, Outcome, Skipped
from ..vocabulary.target import Target
from .errors import UnknownMember
from .handoff import without_handoff
from .job import TeamJob
from .roster import Member, Roster
from .shared import has_model, remembers

Ending: TypeAlias = Literal["consensus", "vote", "moderator", "rounds"]


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one member said in one round (rounds count from 1)."""

    speaker: str
    role: str
    round: int
    content: Any

    def to_dict(self) -> dict[str, Any]:
        """Return the contribution as plain data."""
        return {
            "speaker": self.speaker,
            "role": self.role,
            "round": self.round,
            "content": self.content,
        }


@dataclass(frozen=True, slots=True)
class Discussion:
    """How a discussion went.

    ``ended`` says how: by ``consensus`` (all spoke, and have one position), by ``vote``,
    by the ``moderator``, or because the ``rounds`` were used up without a decision, in which case
    ``decision`` is None. ``tally`` counts the positions of each member's last contribution.
    ``missing`` are the members that could not speak, and why.
    """

    topic: Any
    decision: Any
    ended: Ending
    rounds: int
    contributions: tuple[Contribution, ...]
    tally: Tally
    missing: Mapping[str, Outcome]
    usage: Usage = NO_USAGE
    """What it has spent on models, with all beneath it."""

    def said_by(self, speaker: str) -> list[Any]:
        """Return what *speaker* said, round after round."""
        return [c.content for c in self.contributions if c.speaker == speaker]


class DiscussionJob(TeamJob):
    """Rounds of speaking; after each one it is looked whether there is a decision.

    A speaker gets ``{"topic", "round", "max_rounds", "speaker", "role", "contributions"}``. What it
    is for is its answer's ``position`` (or ``vote``, ``answer``, ``decision``) field, or the whole
    answer. ``{"agree": true}`` joins the position that was stated last. The moderator gets the same
    with ``"participants"``, and answers with ``decision`` (or ``done``), or with ``next``: the names that speak
    in the next round.
    """

    def __init__(
        self,
        roster: Roster,
        participants: Sequence[Member],
        max_rounds: int,
        moderator: Target | None,
    ) -> None:
        super().__init__(roster)
        self._participants = participants
        self._max_rounds = max_rounds
        self._moderator = moderator
        self._said: list[Contribution] = []
        self._positions: dict[str, Any] = {}
        self._heard: dict[str, int] = {}
        """How many contributions each speaker has been told, by name."""

    def targets(self) -> Iterable[Target]:
        yield from super().targets()
        if self._moderator is not None:
            yield self._moderator

    async def coordinate(self, run: Execution) -> Discussion:
        return await self.sharing(run, lambda: self._discuss(run))

    async def _discuss(self, run: Execution) -> Discussion:
        config = self.roster.config
        speakers: Sequence[Member] = self._participants
        round_ = 0
        answer: Any = None
        for round_ in range(1, self._max_rounds + 1):
            if config.speaker_policy == "random":
                speakers = run.system.random.sample(list(speakers), len(speakers))
            await self._round(run, round_, speakers)
            if config.decision_making == "moderator" or config.speaker_policy == "moderator":
                answer = await self._moderated(run, round_)
                if config.decision_making == "moderator" and _decided(answer):
                    return self._ended(run, "moderator", round_, _decision(answer))
                speakers = self._next_speakers(answer)
            elif self._unanimous(round_):
                return self._ended(run, "consensus", round_, self._count().winner)
        if config.decision_making == "moderator":
            # The last word is a decision, however it is put.
            return self._ended(run, "moderator", round_, _decision(answer))
        count = self._count()
        if config.decision_making == "vote":
            needed = config.quorum or count.cast // 2 + 1
            if count.of(count.winner) >= needed:
                return self._ended(run, "vote", round_, count.winner)
        elif self._unanimous(round_):
            return self._ended(run, "consensus", round_, count.winner)
        return self._ended(run, "rounds", round_, None)

    # -- speaking ------------------------------------------------------------------------------

    async def _round(self, run: Execution, round_: int, speakers: Sequence[Member]) -> None:
        present = [member for member in speakers if member.name not in self.missing]
        if self.roster.config.speaker_policy == "simultaneous":
            heard = list(self._said)
            said: dict[str, Any] = {}

            async def speak(member: Member) -> None:
                said[member.name] = await self._speak(run, round_, member, heard)

            async with TaskBag() as bag:
                for member in present:
                    bag.start(speak(member))
                await bag.settled()
            for member in present:
                self._note(member, round_, said[member.name])
        else:
            for member in present:
                self._note(member, round_, await self._speak(run, round_, member, self._said))
        if not any(contribution.round == round_ for contribution in self._said):
            causes = [o.cause for o in self.missing.values() if o.cause is not None]
            raise PatternFailed(
                self.name,
                f"failed: no participant could speak in round {round_} of the discussion",
                run.outcomes,
                cause=causes[-1] if causes else None,
            )

    async def _speak(
        self, run: Execution, round_: int, member: Member, heard: Sequence[Contribution]
    ) -> Outcome:
        payload: dict[str, Any] = {
            "topic": run.input,
            "round": round_,
            "max_rounds": self._max_rounds,
            "speaker": member.name,
            "role": member.role,
        }
        # Who is shown the history of the team has heard them all; who remembers has heard some.
        if self._shared is None or not has_model(run, member):
            known = self._heard.get(member.name, 0) if remembers(run, member) else 0
            payload["contributions"] = self._shown(heard[known:])
            self._heard[member.name] = len(heard)
        _, _, outcome = await self.turn(
            run, [member], payload, label=f"{member.name}[{round_}]", context={"action": "discuss"}
        )
        return outcome

    def _note(self, member: Member, round_: int, outcome: Outcome) -> None:
        if not isinstance(outcome, Completed):
            if isinstance(outcome, Skipped):
                return
            # A participant that failed says no more; the others can still decide.
            self.missing[member.name] = outcome
            self._positions.pop(member.name, None)
            return
        content = without_handoff(outcome.value)
        self._positions[member.name] = self._position(content)
        self._said.append(Contribution(member.name, member.role, round_, content))

    def _position(self, content: Any) -> Any:
        if isinstance(content, Mapping):
            fields = cast(Mapping[str, Any], content)
            if fields.get("agree") is True and self._said:
                return self._positions.get(self._said[-1].speaker, position_of(content))
        return position_of(content)

    def _shown(self, contributions: Sequence[Contribution]) -> Any:
        if self.roster.config.communication_style == "free":
            return "\n".join(f"{c.speaker} ({c.role}): {c.content}" for c in contributions)
        return [contribution.to_dict() for contribution in contributions]

    # -- deciding ------------------------------------------------------------------------------

    def _count(self) -> Tally:
        return tally(self._positions.items())

    def _unanimous(self, round_: int) -> bool:
        spoke = {c.speaker for c in self._said if c.round == round_}
        expected = {m.name for m in self._participants if m.name not in self.missing}
        return spoke == expected and self._count().unanimous

    async def _moderated(self, run: Execution, round_: int) -> Any:
        moderator = self._moderator
        assert moderator is not None, "checked when the discussion was asked for"
        payload = {
            "topic": run.input,
            "round": round_,
            "max_rounds": self._max_rounds,
            "role": "moderator",
            "participants": [member.name for member in self._participants],
            "contributions": self._shown(self._said),
        }
        name = self.work_name(f"moderator[{round_}]")
        target = self.roster.moderator(moderator)
        turn = turn_for(run, target, self._moderation(last=round_ == self._max_rounds))
        context = {"team": self.name, "role": "moderator", "action": "moderate", **(turn or {})}
        outcome = await run.perform(name, target, payload, self._policy, context)
        if isinstance(outcome, Completed):
            return plain(outcome.value)
        if isinstance(outcome, Skipped):
            return None
        raise work_failed(self.name, name, outcome, run.outcomes, "the moderator")

    def _moderation(self, *, last: bool) -> TurnShape:
        """Return what a moderator with a model is asked for: a decision, or who speaks next."""
        config = self.roster.config
        fields: dict[str, Any] = {"reason": (str, "Why, in a sentence or two.", "")}
        if config.decision_making == "moderator":
            kind = str if last else str | None
            fields["decision"] = (kind, "The decision; left out while there is none yet.")
        if config.speaker_policy == "moderator" and not last:
            names = dict.fromkeys(n for m in self._participants for n in (m.name, m.role))
            speakers: Any = list[one_of(list(names))] | None  # type: ignore[misc]
            fields["next"] = (speakers, "Who speaks in the next round; left out, all do.")
        return choice("Moderation", "How the discussion goes on.", **fields)

    def _next_speakers(self, answer: Any) -> Sequence[Member]:
        """Return the speakers of the next round: those that the moderator's *answer* names, else all."""
        wanted: Any = None
        if isinstance(answer, Mapping) and self.roster.config.speaker_policy == "moderator":
            wanted = cast(Mapping[str, Any], answer).get("next")
        if not wanted:
            return self._participants
        names = [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]
        chosen: list[Member] = []
        for name in names:
            found = [m for m in self._participants if name in (m.name, m.role)]
            if not found:
                known = [m.name for m in self._participants]
                raise UnknownMember(self.name, name, known)
            chosen.extend(m for m in found if m not in chosen)
        return chosen

    def _ended(self, run: Execution, ended: Ending, rounds: int, decision: Any) -> Discussion:
        count = self._count()
        if ended in ("consensus", "vote"):
            decision = count.value(decision)
        return Discussion(
            run.input,
            decision,
            ended,
            rounds,
            tuple(self._said),
            count,
            dict(self.missing),
            run.usage,
        )


def _decided(answer: Any) -> bool:
    if not isinstance(answer, Mapping):
        return False
    fields = cast(Mapping[str, Any], answer)
    return "decision" in fields or fields.get("done") is True


def _decision(answer: Any) -> Any:
    if isinstance(answer, Mapping) and "decision" in answer:
        return cast(Mapping[str, Any], answer)["decision"]
    return cast(Any, answer)
