"""What a coordinator wants of the engine that it runs for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contextvars import Context

    from agenticaiframework.actors import ActorRef, ActorSystem

    from ...vocabulary.target import Askable
    from ..state.cancellation import Cancellation
    from ..state.live import LiveRun
    from ..store import Record
    from .attempt import StepAttempt
    from .orders import Group


class AttemptHost(Protocol):
    """Looks after the attempts of all runs: limits, time limits, spans."""

    @property
    def watched(self) -> bool:
        """Whether it has to be told of each attempt: there are limits, or spans."""
        ...

    @property
    def default_timeout_s(self) -> float | None:
        """The time limit of attempts whose step has none, where the worker looks after it."""
        ...

    def admit(self, attempt: StepAttempt) -> bool:
        """Give an attempt a place at its agent, or one in the queue for it (False)."""
        ...

    def observe(self, live: LiveRun, attempt: StepAttempt) -> None:
        """Begin an attempt's span, and let parts of its answer reach the listeners."""
        ...

    def under_span(self, attempt: StepAttempt, variables: Context | None) -> Context | None:
        """Return *variables* such that the spans which are made in them are children of the attempt's."""
        ...

    def inherit(self, live: LiveRun, attempt: StepAttempt) -> None:
        """Build the scope that nested targets inherit."""
        ...

    def limit_time(self, attempt: StepAttempt, now: float) -> float | None:
        """Let the default time limit hold; return it if the caller is to look after it."""
        ...

    def ended(self, attempt: StepAttempt) -> None:
        """Take note that an attempt has ended, or been stopped."""
        ...


class RunHost(Protocol):
    """The engine, as the coordinators of its runs know it."""

    @property
    def home(self) -> ActorSystem:
        """The system that it lives in."""
        ...

    @property
    def attempts(self) -> AttemptHost:
        """What looks after attempts."""
        ...

    @property
    def ending(self) -> bool:
        """Whether the engine, or the whole system, is about to end."""
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of the loop; with `epoch` it gives the seconds since the epoch."""
        ...

    @property
    def epoch(self) -> float:
        """The date, in seconds since the epoch, at which the clock was zero."""
        ...

    def chance(self) -> float:
        """Return a random number from 0 to 1."""
        ...

    def resolve(self, target: Any) -> Askable:
        """Return what *target* is or names; raises `UnknownName`."""
        ...

    def start_part(self, live: LiveRun, attempt: StepAttempt, variables: Context | None) -> None:
        """Begin, or find, the run that works on an attempt; its end ends the attempt."""
        ...

    def stop_part(
        self, live: LiveRun, attempt: StepAttempt, cancellation: Cancellation | None
    ) -> None:
        """Cancel the run that works on an attempt, as *cancellation* says; its end ends the attempt."""
        ...

    def write(
        self, live: LiveRun, group: Group, done: Callable[[BaseException | None], None]
    ) -> None:
        """Have *group* stored, and *done* called; raises for what cannot be stored at all."""
        ...

    def hold(self, live: LiveRun, error: BaseException) -> bool:
        """Tell whether what the store did not take is to be kept until the store answers again.

        The coordinator is then told to `WriteAgain`; until then nothing is given to the store.
        """
        ...

    @property
    def stored_form(self) -> Callable[[Any, Callable[[], str]], Any]:
        """What returns the form that the store keeps of a value; raises what it cannot keep."""
        ...

    def holds(self, live: LiveRun) -> bool:
        """Tell whether the engine holds a stored run for sure, so that a step of it may begin.

        If not, its coordinator is told `HELD` once that is known, or ends with the run here.
        """
        ...

    def stands_still(self, live: LiveRun) -> None:
        """Take note that nothing of a run is under way, while the engine is drained."""
        ...

    def write_failed(self, live: LiveRun, error: BaseException) -> None:
        """Take note that the store did not take what happened in a run."""
        ...

    def blocked(self, live: LiveRun, reason: str, reopening: Sequence[Record] = ()) -> None:
        """Take note that a run cannot go on as things are, and end its coordinator.

        *reopening* are records with which it goes on after its end, and which have not been written.
        """
        ...

    def concluded(self, live: LiveRun) -> None:
        """Take note that a run has ended, and complete the requests that wait for that."""
        ...

    def released(self, coordinator: ActorRef[Any], live: LiveRun) -> bool:
        """Take note that a coordinator is done with its run; return whether it is to be kept."""
        ...
