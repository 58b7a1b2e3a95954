"""Several agents answer the same question: by vote, or after a debate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, cast

from pydantic import Field

from agenticaiframework.actors import TurnShape

from ..definition.drawing import Drawing
from ..definition.step import Ask, AskField, unique_names
from ..execution.choices import Chosen, choice, one_of, part_of, turn_for
from ..execution.execution import Execution
from ..execution.pattern import OrchestrationPattern, PatternDefinition
from ..execution.promises import Demand
from ..execution.work import Work
from ..vocabulary.errors import PatternFailed, work_failed
from ..vocabulary.outcome import Completed, Skipped
from ..vocabulary.target import Target
from .voting import Tally, tally

LONGEST_CHOICE: Final = 100
"""Positions of more characters are texts, and a judge may put its decision in words of its own."""
KEPT_SHAPES: Final = 32
"""For how many sets of positions it is kept what a judge is asked for."""


class DebateDefinition(PatternDefinition):
    """A debate: its participants, the number of rounds, and how it is decided."""

    agents: tuple[AskField, ...] = Field(min_length=1)
    rounds: int = Field(default=1, ge=1)
    quorum: int | None = Field(default=None, ge=1)
    judge: AskField | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a debate or vote ended.

    ``decision`` is the position that won, as its first voter put it, or the judge's answer. ``ended``
    says how: ``unanimous``, ``vote`` or ``judge``. ``answers`` are those of the last round.
    """

    decision: Any
    ended: Literal["unanimous", "vote", "judge"]
    rounds: int
    tally: Tally
    answers: Mapping[str, Any]


class DebateOrchestration(OrchestrationPattern):
    """All *agents* answer; in each further round they see each other's answers; then it is decided.

    In the first round each gets the input, in later ones ``{"input", "round", "own", "others"}``. An
    answer's position is its ``position``, ``vote``, ``answer`` or ``decision`` field, else the whole
    answer. It ends early when all agree. After *rounds* the *judge*, if there is one, gets
    ``{"input", "answers", "votes"}`` and decides (one with a model and without an output type, for one of the
    positions, if these are short); else the position with the most votes wins. *quorum*
    is how many have to vote for it (default: more than half of those that answered); without that, or
    with a tie, there is no decision and `PatternFailed` says how the votes fell. An agent that fails
    or may be skipped has no vote. The result is a `Verdict`.
    """

    kind: ClassVar[str] = "debate"
    definition_type = DebateDefinition
    example = 'DebateOrchestration(name="verdict", agents=["ann", "bob", "cid"], rounds=2)'

    def __init__(
        self,
        name: str,
        agents: Sequence[Target | Ask | Mapping[str, Any]],
        *,
        rounds: int = 2,
        quorum: int | None = None,
        judge: Target | Ask | Mapping[str, Any] | None = None,
        timeout: float | None = None,
        usage_limits: Any = None,
    ) -> None:
        super().__init__(
            self._define(
                {
                    "name": name,
                    "agents": agents,
                    "rounds": rounds,
                    "quorum": quorum,
                    "judge": judge,
                    "timeout": timeout,
                    "usage_limits": usage_limits,
                }
            )
        )

    def _prepare(self) -> None:
        spec = self._spec
        if spec.quorum is not None and spec.quorum > len(spec.agents):
            raise self._wrong(
                f"a quorum of {spec.quorum} can never come from {len(spec.agents)} agents"
            )
        names = unique_names(ask.label for ask in spec.agents)
        self._voters = dict(zip(names, spec.agents, strict=True))
        self._shapes: dict[tuple[str, ...], TurnShape] = {}

    @property
    def _spec(self) -> DebateDefinition:
        return cast(DebateDefinition, self._definition)

    def targets(self) -> Iterable[Target]:
        for ask in self._spec.agents:
            yield from ask.targets()
        if self._spec.judge is not None:
            yield from self._spec.judge.targets()

    def demands(self) -> Iterable[Demand]:
        return [Demand(ask.agent, 1, "agents") for ask in self._voters.values()]

    async def coordinate(self, run: Execution) -> Any:
        answers: dict[str, Any] = {}
        count = tally(())
        round_ = 0
        for round_ in range(1, self._spec.rounds + 1):
            answers = await self._round(run, round_, answers)
            count = tally(answers.items())
            if count.unanimous and len(answers) == len(self._voters):
                return Verdict(count.value(count.winner), "unanimous", round_, count, answers)
        if self._spec.judge is not None:
            return await self._judged(run, self._spec.judge, round_, count, answers)
        winner = count.winner
        needed = self._spec.quorum or count.cast // 2 + 1
        if count.of(winner) < needed:
            votes = ", ".join(f"{p!r}: {len(v)}" for p, v in count.votes.items()) or "none"
            raise PatternFailed(
                self.name,
                f"has no decision after {round_} rounds: {needed} votes for one position are needed, "
                f"and they are {votes}",
                run.outcomes,
            )
        ended: Literal["unanimous", "vote"] = "unanimous" if count.unanimous else "vote"
        return Verdict(count.value(winner), ended, round_, count, answers)

    async def _round(
        self, run: Execution, round_: int, before: Mapping[str, Any]
    ) -> dict[str, Any]:
        works: dict[str, Work] = {}
        for voter, ask in self._voters.items():
            payload = run.input
            if round_ > 1:
                payload = {
                    "input": run.input,
                    "round": round_,
                    "own": before.get(voter),
                    "others": {n: a for n, a in before.items() if n != voter},
                }
            works[voter] = Work(f"{voter}[{round_}]", ask.agent, payload, ask.policy)
        outcomes = await run.perform_all([*works.values()])
        answers = {
            voter: outcome.value
            for voter, outcome in zip(works, outcomes, strict=True)
            if isinstance(outcome, Completed)
        }
        if not answers:
            failed = next((o for o in outcomes if o.cause is not None), None)
            raise PatternFailed(
                self.name,
                f"failed: no participant answered in round {round_}",
                run.outcomes,
                cause=None if failed is None else failed.cause,
            )
        return answers

    async def _judged(
        self, run: Execution, judge: Ask, round_: int, count: Tally, answers: Mapping[str, Any]
    ) -> Verdict:
        work = unique_names([*run.outcomes, judge.label])[-1]
        votes = {position: list(voters) for position, voters in count.votes.items()}
        payload = {"input": run.input, "answers": dict(answers), "votes": votes}
        turn = turn_for(run, judge.agent, self._judgement(tuple(count.votes)))
        outcome = await run.perform(work, judge.agent, payload, judge.policy, turn)
        if isinstance(outcome, Completed):
            decision = part_of(outcome.value, "decision")
            if isinstance(outcome.value, Chosen):
                decision = count.positions.get(decision, decision)
            return Verdict(decision, "judge", round_, count, answers)
        if isinstance(outcome, Skipped) and count.winner is not None:
            return Verdict(count.value(count.winner), "vote", round_, count, answers)
        raise work_failed(self.name, work, outcome, run.outcomes, "the judge")

    def _judgement(self, positions: tuple[str, ...]) -> TurnShape:
        """Return what a judge with a model is asked for: one of *positions*, where these are short."""
        if any(len(position) > LONGEST_CHOICE for position in positions):
            positions = ()
        shape = self._shapes.get(positions)
        if shape is None:
            if len(self._shapes) >= KEPT_SHAPES:
                self._shapes.clear()
            kind = one_of(positions) if positions else str
            shape = self._shapes[positions] = choice(
                "Judgement",
                "How a debate is decided.",
                reads=lambda said: {"decision": said},
                reason=(str, "Why, in a sentence or two.", ""),
                decision=(kind, "The position that holds."),
            )
        return shape

    def draw(self, drawing: Drawing) -> None:
        start = drawing.node("input", "end")
        decide = (
            drawing.node("vote", "join")
            if self._spec.judge is None
            else drawing.target(self._spec.judge.agent, "decides")
        )
        for ask in self._spec.agents:
            node = drawing.target(ask.agent)
            drawing.edge(start, node)
            drawing.edge(node, decide)
        if self._spec.rounds > 1:
            drawing.edge(decide, start, f"others' answers, {self._spec.rounds} rounds", dotted=True)
        drawing.edge(decide, drawing.node("result", "end"))


class VoteOrchestration(DebateOrchestration):
    """All *agents* answer once, and the position with the most votes wins: a debate of one round."""

    kind: ClassVar[str] = "vote"
    example = 'VoteOrchestration(name="verdict", agents=["ann", "bob", "cid"], quorum=2)'

    def __init__(
        self,
        name: str,
        agents: Sequence[Target | Ask | Mapping[str, Any]],
        *,
        quorum: int | None = None,
        judge: Target | Ask | Mapping[str, Any] | None = None,
        timeout: float | None = None,
        usage_limits: Any = None,
    ) -> None:
        super().__init__(
            name,
            agents,
            rounds=1,
            quorum=quorum,
            judge=judge,
            timeout=timeout,
            usage_limits=usage_limits,
        )
