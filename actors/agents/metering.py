"""Which meter counts here, and opening one.

The innermost meter is a context variable, so it goes with every ask, thread and task. In a step of a
workflow there is one behind the `InnerJournal` instead, which is made when it is first looked for: an
attempt that asks no model costs nothing. Which of the two is the inner one follows from the journal
that the first was opened under.
"""

from __future__ import annotations

from contextvars import Context, ContextVar, Token
from typing import TYPE_CHECKING, Any, Final

from .agent_context import CONTEXT
from .meter import Meter
from .usage_limits import WorkLimits, read_usage_limits

if TYPE_CHECKING:
    from .inner_steps import InnerJournal

METER: Final[ContextVar[Meter | None]] = ContextVar("agenticaiframework_meter", default=None)
"""The innermost meter that was opened, for `current_meter`."""


TRACE_CONTENT: Final[ContextVar[bool]] = ContextVar(
    "agenticaiframework_trace_content", default=False
)
"""Whether the spans of what is asked here hold what is said to models and by them."""


def current_meter() -> Meter | None:
    """Return the meter of the innermost piece of work here, if anything here is metered."""
    return _meter_in(_journal_here())


def _journal_here() -> InnerJournal | None:
    handling = CONTEXT.get(None)
    journal: InnerJournal | None = None
    if handling is not None:
        journal = getattr(handling.mapping, "journal", None)
    return journal


def meter_of_work(variables: Context, journal: InnerJournal | None) -> Meter | None:
    """Return the meter that counts in work with these *variables*, in a step with that *journal*."""
    return variables.copy().run(_meter_in, journal)


def _meter_in(journal: InnerJournal | None) -> Meter | None:
    meter = METER.get()
    if journal is None or (meter is not None and meter.journal is journal):
        return meter
    # Opened around the run whose step this is: the run's own meter has it as its parent.
    return journal.meter


class metered:
    """Count what is spent on models inside of a ``with`` block, and stop it at *usage_limits*.

    ::

        with metered(usage_limits=UsageLimits(total_tokens_limit=20_000)) as meter:
            await asyncio.gather(*(reader.ask(page) for page in pages))
        print(meter.spent)

    All that the block asks counts, whatever agents, teams and workflows are in between, and what runs at
    the same time shares the limits: requests that are under way when one is reached still end.
    Raises `BadUsageLimits`; a request over a limit raises `UsageLimitReached`.
    """

    __slots__ = ("_meter", "_token")

    def __init__(self, name: str = "metered", *, usage_limits: Any = None) -> None:
        self._meter = open_meter(
            "block", name, read_usage_limits(f"the block {name!r}", usage_limits)
        )

    def __enter__(self) -> Meter:
        self._token: Token[Meter | None] = METER.set(self._meter)
        return self._meter

    def __exit__(self, *_exc: object) -> None:
        leave_meter(self._token)


def open_meter(
    kind: str, name: str, limits: WorkLimits | None = None, *, of_one_answer: bool = False
) -> Meter:
    """Return a meter in the one that is the innermost here."""
    journal = _journal_here()
    meter = Meter(kind, name, _meter_in(journal), limits, of_one_answer=of_one_answer)
    meter.journal = journal
    return meter


def enter_meter(meter: Meter) -> Token[Meter | None]:
    """Let *meter* be the innermost from here on."""
    return METER.set(meter)


def leave_meter(token: Token[Meter | None]) -> None:
    """Let the meter that was the innermost before be it again."""
    try:
        METER.reset(token)
    except ValueError:
        pass  # a coroutine that nothing awaits any more is closed in some other context


__all__ = [
    "METER",
    "TRACE_CONTENT",
    "Meter",
    "current_meter",
    "enter_meter",
    "leave_meter",
    "meter_of_work",
    "metered",
    "open_meter",
]
