"""A task for the whole team: a coordinator leads, the others contribute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..execution.execution import Execution
from ..execution.task_bag import TaskBag
from ..vocabulary.errors import NotCompleted, work_failed
from ..vocabulary.outcome import Completed, Outcome, Skipped
from .errors import TeamIncomplete
from .guarding import guarded
from .handoff import Handed, contribution, without_handoff
from .job import TeamJob
from .result import TeamResult
from .roster import Member, Roster


class TaskJob(TeamJob):
    """The leader sees the task first, then either hands off, or all others contribute.

    The leader gets the task as it is. If its answer fires a handoff, the work follows the handoffs,
    and only the agents that it is handed to take part. Otherwise every other member gets
    ``{"task", "lead"}`` at the same time, *lead* being the leader's answer.
    """

    def __init__(self, roster: Roster, leaders: Sequence[Member]) -> None:
        super().__init__(roster)
        self._leaders = leaders

    async def coordinate(self, run: Execution) -> TeamResult:
        return await guarded(self.guards, run, lambda: self.sharing(run, lambda: self._work(run)))

    async def _work(self, run: Execution) -> TeamResult:
        task = run.input
        name, leader, outcome = await self.turn(run, self._leaders, task)
        handed = None
        try:
            answer = self.needed(run, name, outcome, "the coordinator")
        except NotCompleted:
            answer = None
        else:
            handed = self.fired(leader.role, answer)
            self.add(name, contribution(answer, handed))
        if handed is not None:
            await self.follow(run, leader, handed)
        else:
            await self._contribute(run, leader, answer)
        if self.roster.config.synthesis:
            await self._synthesize(run, leader)
        return await self.result(run)

    async def _contribute(self, run: Execution, leader: Member, lead: Any) -> None:
        others = list({m.name: m for m in self.roster.members if m.name != leader.name}.values())
        payload = {"task": run.input, "lead": without_handoff(lead)}
        done: dict[str, tuple[Member, Any]] = {}

        async def contribute(member: Member) -> None:
            name, _, outcome = await self.turn(run, [member], payload)
            if isinstance(outcome, Completed):
                done[member.name] = (member, outcome.value)
            elif isinstance(outcome, Skipped) or _all_lost(outcome):
                self.missing[member.name] = outcome
            else:
                failed.append((name, outcome))

        failed: list[tuple[str, Any]] = []
        async with TaskBag() as bag:
            for member in others:
                bag.start(contribute(member))
            await bag.settled()
        if failed:
            name, outcome = failed[0]
            raise work_failed(self.name, name, outcome, run.outcomes, "a contributor")
        # In the order of the team, so that runs are deterministic; and handoffs one after another.
        following: list[tuple[Member, Handed]] = []
        for member, answer in [done[m.name] for m in others if m.name in done]:
            handed = self.fired(member.role, answer)
            self.add(member.name, contribution(answer, handed))
            if handed is not None:
                following.append((member, handed))
        for member, handed in following:
            await self.follow(run, member, handed)

    async def _synthesize(self, run: Execution, leader: Member) -> None:
        payload = {"task": run.input, "contributions": dict(self.values)}
        name, _, outcome = await self.turn(
            run, [leader], payload, label="synthesis", context={"action": "synthesize"}
        )
        try:
            self.add(name, self.needed(run, name, outcome, "the synthesis"))
        except NotCompleted:
            pass


def _all_lost(outcome: Outcome) -> bool:
    """Tell whether all members that could take the turn have been stopped for good."""
    return isinstance(outcome.cause, TeamIncomplete) and outcome.cause.lost != ()
