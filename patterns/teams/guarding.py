"""The guardrails of a team: its tasks and the answers to them are checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import (
    GuardedRequest,
    GuardrailTripped,
    Guards,
    RepairWanted,
    TextDelta,
    ThinkingDelta,
    causes_of,
)

from ..vocabulary.errors import PatternFailed
from ..vocabulary.events import Chunk, Ended, Finished, PatternEvent
from ..vocabulary.outcome import Completed, Outcome
from .result import TeamResult

if TYPE_CHECKING:
    from ..execution.execution import Execution


class TeamStopped(PatternFailed, GuardrailTripped):
    """A guardrail of the team, or of one of its members, has stopped a task: an expected error.

    It is a `GuardrailTripped`, with the guardrail's ``name`` and ``reason``, and a `PatternFailed`, with
    the ``outcomes`` of what was done until then.
    """

    def __init__(
        self, pattern: str, tripped: GuardrailTripped, outcomes: Mapping[str, Outcome]
    ) -> None:
        PatternFailed.__init__(self, pattern, f"was stopped: {tripped}", outcomes, cause=tripped)
        self.expected = True
        self.name = tripped.name
        self.reason = tripped.reason
        self.agent = tripped.agent
        self.when = tripped.when
        self.failed = tripped.failed


class HeldEvents:
    """Holds the events of an execution back until it is known that its answer may be read.

    Of one that is stopped its reader sees who was asked and who handed over, and nothing of what was said.
    Owned by that execution.
    """

    def __init__(self, emit: Callable[[PatternEvent], None], path: tuple[str, ...]) -> None:
        self._emit = emit
        self._path = path
        self._held: list[PatternEvent] | None = []
        """None once all may be read."""

    def send(self, event: PatternEvent) -> None:
        """Report *event*, now or later."""
        if self._held is None:
            self._emit(event)
        elif isinstance(event, Finished) and event.path == self._path:
            # The end itself: what is still held was never allowed.
            self._held = [e for e in self._held if not isinstance(e, (Chunk, Ended, Finished))]
            self.open()
            self._emit(event)
        else:
            self._held.append(event)

    def open(self) -> None:
        """Report all that is held, and from now on everything at once."""
        held, self._held = self._held, None
        for event in held or ():
            self._emit(event)

    def drop_text(self) -> None:
        """Forget the text that is held."""
        self._held = [event for event in self._held or () if not _is_text(event)]

    def replace(self, answer: Any) -> None:
        """Hold *answer* in the place of what the member that spoke last has said."""
        self.drop_text()
        held = self._held or []
        for index in range(len(held) - 1, -1, -1):
            event = held[index]
            if isinstance(event, Ended) and isinstance(event.outcome, Completed):
                held[index] = replace(event, outcome=replace(event.outcome, value=answer))
                return


def _is_text(event: PatternEvent) -> bool:
    return isinstance(event, Chunk) and isinstance(event.data, (str, TextDelta, ThinkingDelta))


async def guarded(
    guards: Guards, run: Execution, work: Callable[[], Awaitable[TeamResult]]
) -> TeamResult:
    """Return the result of *work*, checked by *guards*; raise `TeamStopped`."""
    try:
        if not guards.any:
            return await work()
        run.input = await guards.check_request(run.input)
        request = GuardedRequest(guards, run.input)
        if run.emit is not None:
            request.parts = held = HeldEvents(run.emit, run.path)
            run.emit = held.send

        async def checked() -> TeamResult:
            result = await work()
            if guards.after:
                final = await request.check_answer(result.final)
                if final is not result.final:
                    result.replace_final(final)
            return result

        return await request.run(checked())
    except RepairWanted as wanted:
        tripped = guards.tripped_by_repair(wanted)
        raise TeamStopped(run.name, tripped, run.outcomes) from wanted
    except GuardrailTripped as error:
        if isinstance(error, TeamStopped):
            raise
        raise TeamStopped(run.name, error, run.outcomes) from error
    except PatternFailed as error:
        found = next((e for e in causes_of(error) if isinstance(e, GuardrailTripped)), None)
        if found is None or not error.expected:
            raise
        raise TeamStopped(run.name, found, run.outcomes) from error
