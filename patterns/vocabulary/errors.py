"""What goes wrong while a pattern runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from agenticaiframework.actors import AgenticError, causes_of, is_expected, near_names, shown

from .causes import UnretriableError
from .outcome import Completed, Failed, Outcome, Skipped, TimedOut, describe_outcome

NO_OUTCOMES: Final = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)
"""Never kept as outcomes: they end the waiting code, or the whole program, as everywhere."""


class PatternFailed(AgenticError):
    """An execution has no result.

    ``pattern`` is its name, ``work`` the piece of work that decided it (None: the whole),
    ``outcomes`` what became of every piece of work, by name: what others completed is not lost. The
    deciding error is the ``__cause__``; if that is the error of a fallback, ``instead_of`` is the error
    that it stood in for. ``expected`` if nothing failed but for expected errors: an agent whose
    handler lets this pass is well.
    """

    instead_of: BaseException | None = None

    def __init__(
        self,
        pattern: str,
        problem: str,
        outcomes: Mapping[str, Outcome],
        *,
        work: str | None = None,
        cause: BaseException | None = None,
    ) -> None:
        end = "" if problem.endswith((".", "?")) else "."
        super().__init__(f"{pattern!r} {problem}{end}{_others(outcomes, work)}")
        self.pattern = pattern
        self.problem = problem
        self.work = work
        self.outcomes = dict(outcomes)
        self.__cause__ = cause
        self.expected = cause is not None and all(map(is_expected, _errors(cause, outcomes)))

    @property
    def completed(self) -> dict[str, Any]:
        """The results of the work that was completed, by name."""
        return {k: o.value for k, o in self.outcomes.items() if isinstance(o, Completed)}


class PatternTimedOut(PatternFailed, TimeoutError):
    """The whole execution took longer than it was given, and has been stopped."""

    def __init__(self, pattern: str, timeout_s: float, outcomes: Mapping[str, Outcome]) -> None:
        super().__init__(pattern, f"took longer than its {timeout_s:g} s and was stopped", outcomes)
        self.timeout_s = timeout_s


class NotCompleted(AgenticError):
    """A piece of work has no result; *outcome* says how it ended. Seen by patterns only."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"{outcome.agent!r} {describe_outcome(outcome)}")
        self.outcome = outcome


class CoordinatorLost(PatternFailed):
    """The coordinator was killed, or its system stopped, before there was a result."""

    def __init__(self, pattern: str, reason: Any, outcomes: Mapping[str, Outcome]) -> None:
        super().__init__(
            pattern,
            f"ended without a result: its coordinator is gone ({shown(reason)}), and its work with it",
            outcomes,
            cause=reason if isinstance(reason, BaseException) else None,
        )
        self.reason = reason


class MissingInput(PatternFailed, UnretriableError, LookupError):
    """The input does not have the key that a piece of work asks for."""

    def __init__(
        self, pattern: str, work: str, key: str, given: Any, outcomes: Mapping[str, Outcome]
    ) -> None:
        hint = ""
        if isinstance(given, Mapping):
            hint = near_names(key, [str(known) for known in cast(Mapping[Any, Any], given)])
        super().__init__(
            pattern,
            f"failed: {work!r} takes {key!r} from the input, which has no such key. {hint}".strip(),
            outcomes,
            work=work,
        )
        self.key = key

    def __str__(self) -> str:
        # LookupError's KeyError would show a repr; this is a sentence.
        return str(self.args[0])


class UnexpectedAnswer(PatternFailed):
    """An agent's answer is not what its place in the pattern needs."""

    def __init__(
        self,
        pattern: str,
        agent: str,
        needed: str,
        answer: Any,
        outcomes: Mapping[str, Outcome],
        *,
        known: Iterable[str] | None = None,
    ) -> None:
        hint = "" if known is None else f". {near_names(str(answer), known)}"
        text = repr(answer)
        shown = text if len(text) <= 80 else text[:77] + "..."
        wrong = "the input has to be" if agent == "input" else f"{agent!r} has to answer with"
        super().__init__(pattern, f"failed: {wrong} {needed}, not {shown}{hint}", outcomes)
        self.agent = agent
        self.answer = answer


class LimitReached(PatternFailed, UnretriableError):
    """A declared limit (hops, delegations, depth) ended an execution."""

    def __init__(
        self,
        pattern: str,
        what: str,
        limit: int,
        trail: str,
        option: str,
        outcomes: Mapping[str, Outcome],
    ) -> None:
        super().__init__(
            pattern,
            f"reached its limit of {limit} {what}: {trail}. If more are right, raise {option}",
            outcomes,
        )
        self.what = what
        self.limit = limit


class NestedTooDeep(UnretriableError):
    """Executions stand in one another deeper than makes sense: a pattern contains itself by name.

    *times* is how often it has been executed within itself, where that was too often.
    """

    def __init__(self, path: tuple[str, ...], times: int | None = None) -> None:
        tail = " > ".join(path[-6:])
        # Executions and the pieces of work that they are done for take turns.
        deep = (len(path) + 1) // 2
        many = (
            f"{deep} executions stand in one another"
            if times is None
            else f"{path[-1]!r} was executed more than {times} times within itself"
        )
        super().__init__(
            f"{many} (... > {tail}). Probably a pattern contains itself under a registered name."
        )
        self.path = path


def work_failed(
    pattern: str, work: str, outcome: Outcome, outcomes: Mapping[str, Outcome], what: str = ""
) -> PatternFailed:
    """Return the error of an execution that ends because *work* ended with *outcome*."""
    where = f" ({what})" if what else ""
    said = _said(outcome)
    failure = PatternFailed(
        pattern, f"failed: {work!r}{where} {said}", outcomes, work=work, cause=outcome.cause
    )
    if isinstance(outcome, (Failed, TimedOut)):
        failure.instead_of = outcome.instead_of
    return failure


def _errors(cause: BaseException, outcomes: Mapping[str, Outcome]) -> Iterator[BaseException]:
    """Yield the errors that an execution failed for; a time limit that is over is one too."""
    yield cause
    for outcome in outcomes.values():
        if isinstance(outcome, (Failed, TimedOut)):
            yield outcome.cause or TimeoutError()
            if outcome.instead_of is not None:
                yield outcome.instead_of


def _said(outcome: Outcome) -> str:
    if outcome.cause is not None:
        for link in causes_of(outcome.cause):
            if isinstance(link, NestedTooDeep):
                # The way to it is the same few names again and again.
                return f"failed ({link})"
    return describe_outcome(outcome)


def _others(outcomes: Mapping[str, Outcome], work: str | None) -> str:
    """Say what became of the rest, in groups, so that a long fan-out stays one readable line."""
    groups: dict[str, list[str]] = {}
    for name, outcome in outcomes.items():
        if name != work:
            said = _said(outcome)
            if isinstance(outcome, Skipped):
                said = "not run"
            elif not isinstance(outcome, (Failed, TimedOut)):
                said = said.split(" (", 1)[0]
            groups.setdefault(said, []).append(repr(name))
    if not groups:
        return ""
    return " " + "; ".join(f"{said}: {_some(names)}" for said, names in groups.items()) + "."


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
