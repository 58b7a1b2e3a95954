"""Meters: what pieces of work spend on models, each in the one around it, and where they must stop.

Every request to a model is counted by the innermost meter and by all around it, when it is sent and
when it has ended; before it is sent, each of them may refuse it. An answer that comes from a record is
not counted: what sends requests does this, and not what asks for answers.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from operator import attrgetter
from threading import Lock
from typing import Any, Final, Protocol

from .usage import COUNTED, NO_USAGE, Usage
from .usage_limits import UsageLimitReached, WorkLimits

_lock: Final = Lock()
"""For all meters: a request takes it twice, for some microseconds."""

_REQUESTS: Final = COUNTED.index("requests")
_UNMEASURED: Final = COUNTED.index("unmeasured_requests")
_TOOL_CALLS: Final = COUNTED.index("tool_calls")
_BEGUN: Final = ((_REQUESTS, 1), (_UNMEASURED, 1))
_ENDED: Final = ((_REQUESTS, -1), (_UNMEASURED, -1))

Counts = tuple[tuple[int, int], ...]

_numbers: Final[Callable[[Usage], tuple[int, ...]]] = attrgetter(*COUNTED)


def _counts_of(usage: Usage) -> Counts:
    """Return the numbers of *usage* that are not zero, with the places of their fields."""
    return tuple([each for each in enumerate(_numbers(usage)) if each[1]])


class _Sum:
    """A sum of usages. Changed under the lock."""

    __slots__ = ("cost", "counts")

    def __init__(self, usage: Usage = NO_USAGE) -> None:
        self.counts: list[int] = (
            [0] * len(COUNTED) if usage is NO_USAGE else [getattr(usage, name) for name in COUNTED]
        )
        self.cost = usage.cost

    def add(self, counts: Counts, cost: Decimal | None) -> None:
        """Add what was spent."""
        for index, number in counts:
            self.counts[index] += number
        if cost is not None:
            self.cost = cost if self.cost is None else self.cost + cost

    def usage(self) -> Usage:
        """Return it as a value."""
        make: Any = Usage
        made: Usage = make(*self.counts, self.cost)
        return made


class Ledger(Protocol):
    """Where all that is spent here is counted once more: by the node that has asked for the work."""

    limited: bool
    """Whether there are limits there."""

    def begun(self, agent: str, /) -> None:
        """A request of *agent* is about to be sent."""
        ...

    async def admit(self, agent: str, /) -> None:
        """Count that, where the work's limits allow it; raises `UsageLimitReached`."""
        ...

    def ended(self, agent: str, usage: Usage, /) -> None:
        """A request of *agent* has ended, and took *usage*."""
        ...

    def tool_begun(self, agent: str, /) -> None:
        """A tool of *agent* is about to be called."""
        ...

    async def admit_tool(self, agent: str, /) -> None:
        """Take note of that, where the work's limits allow it; raises `UsageLimitReached`."""
        ...

    def tool_ended(self, agent: str, returned: bool, /) -> None:
        """A tool of *agent* has ended."""
        ...

    def spent(self, agent: str, usage: Usage, /) -> None:
        """Something else of *agent* took *usage*."""
        ...

    def told(self, event: Any, /) -> None:
        """A request to a model has ended, as *event* tells."""
        ...


class Meter:
    """What one piece of work has spent on models so far, all beneath it included. Safe from any thread.

    *kind* and *name* stand in errors; the nearest of kind ``agent`` is whose requests are counted; *limits* are checked before each request. *spent* is what it had spent
    before, for work that goes on. With *journaled* it keeps account of itself in a journal of its
    own, so the meters around it tell that part from the rest (`spent_here`).
    """

    __slots__ = (
        "_below",
        "_by",
        "_tools",
        "_total",
        "agent",
        "journal",
        "journaled",
        "kind",
        "ledger",
        "limits",
        "name",
        "of_one_answer",
        "parent",
        "totals",
    )

    def __init__(
        self,
        kind: str,
        name: str,
        parent: Meter | None = None,
        limits: WorkLimits | None = None,
        spent: Usage = NO_USAGE,
        *,
        journaled: bool = False,
        of_one_answer: bool = False,
    ) -> None:
        self.kind = kind
        self.name = name
        self.parent = parent
        self.limits = limits
        self.agent: str = name if kind == "agent" else "" if parent is None else parent.agent
        """The agent that asks in it."""
        self.totals: tuple[Meter, ...] = ()
        """Sums over many pieces of work, which get what is counted here or in a meter without any, and
        not what the agents that it asks spend, who have their own."""
        self.journaled = journaled
        self.of_one_answer = of_one_answer
        self.journal: Any = None
        """The `InnerJournal` of the step that it was opened in, if it was opened in one."""
        self.ledger: Ledger | None = None if parent is None else parent.ledger
        """Where the node that has asked for this work counts it, if that is another."""
        self._total = _Sum(spent)
        self._below: _Sum | None = None
        """What of that is in the journals of others."""
        self._by: dict[str, _Sum] | None = None if limits is None else {}
        self._tools = 0
        """How many tools are being called."""

    def __repr__(self) -> str:
        return f"<Meter of {self.kind} {self.name!r}: {self.spent}>"

    @property
    def spent(self) -> Usage:
        """What has been spent. A request that is under way counts as one that is not measured."""
        with _lock:
            return self._total.usage()

    @property
    def limited(self) -> bool:
        """Whether it, or one around it, has limits."""
        meter: Meter | None = self
        while meter is not None:
            if meter.limits is not None:
                return True
            if meter.parent is None and meter.ledger is not None:
                return meter.ledger.limited
            meter = meter.parent
        return False

    @property
    def used(self) -> bool:
        """Whether anything has been counted."""
        return self._total.cost is not None or any(self._total.counts)

    @property
    def spent_here(self) -> Usage:
        """What has been spent, without what meters beneath it keep in journals of their own."""
        with _lock:
            total = self._total.usage()
            return total if self._below is None else total - self._below.usage()

    # -- for what sends requests ----------------------------------------------------------------

    def begin_request(self) -> None:
        """Count a request that is about to be sent; raises `UsageLimitReached` where it may not be.

        One that is under way counts as a request, so that many at once do not exceed a
        ``request_limit``. What they take is known when they have ended.
        """
        with _lock:
            self._check(None)
            self._add(_BEGUN, None)
        if self.ledger is not None:
            self.ledger.begun(self.agent)

    async def admit_request(self) -> None:
        """Do the same, and wait for what another node that has asked for the work says of its limits."""
        ledger = self.ledger
        if ledger is None:
            self.begin_request()
            return
        with _lock:
            self._check(None)
            self._add(_BEGUN, None)
        try:
            await ledger.admit(self.agent)
        except BaseException:
            with _lock:
                self._add(_ENDED, None)
            raise

    def count_begun(self, *, tool: bool = False) -> None:
        """Count a request, or a tool, that has begun elsewhere: without a look at the limits."""
        with _lock:
            if tool:
                self._note_tool(1)
            else:
                self._add(_BEGUN, None)
        if self.ledger is not None:
            (self.ledger.tool_begun if tool else self.ledger.begun)(self.agent)

    def end_request(self, usage: Usage) -> None:
        """Count what a request that has begun took, which *usage* counts too."""
        counts = (*_counts_of(usage), *_ENDED)
        with _lock:
            self._add(counts, usage.cost)
        if self.ledger is not None:
            self.ledger.ended(self.agent, usage)

    async def admit_tool(self) -> None:
        """Take note of a tool that is about to be called; raises `UsageLimitReached` if a limit forbids it.

        Of work for another node it waits for what that node says of its limits.
        """
        self._take_tool()
        if self.ledger is None:
            return
        try:
            await self.ledger.admit_tool(self.agent)
        except BaseException:
            self._give_tool_back(returned=False)
            raise

    def _take_tool(self) -> None:
        with _lock:
            self._check("tool_calls_limit")
            self._note_tool(1)

    def _note_tool(self, change: int) -> None:
        meter: Meter | None = self
        while meter is not None:
            meter._tools += change
            meter = meter.parent

    def end_tool(self, *, returned: bool) -> None:
        """Count a tool that was begun, if it has *returned*."""
        self._give_tool_back(returned=returned)
        if self.ledger is not None:
            self.ledger.tool_ended(self.agent, returned)

    def _give_tool_back(self, *, returned: bool) -> None:
        with _lock:
            self._note_tool(-1)
            if returned:
                self._add(((_TOOL_CALLS, 1),), None)

    def spend(self, usage: Usage) -> None:
        """Count what was spent by code that sends its requests itself: `current_meter` is whose it is."""
        counts = _counts_of(usage)
        with _lock:
            self._add(counts, usage.cost)
        if self.ledger is not None:
            self.ledger.spent(self.agent, usage)

    def spend_again(self, usage: Usage, around: Meter) -> None:
        """Count what an answer had cost that comes from a record now, up to *around*, which has it counted."""
        counts = _counts_of(usage)
        with _lock:
            meter: Meter | None = self
            while meter is not None and meter is not around:
                meter._total.add(counts, usage.cost)
                meter = meter.parent

    def spend_below(self, usage: Usage) -> None:
        """Count what a piece of work beneath this, with a journal of its own, has spent before."""
        counts = _counts_of(usage)
        with _lock:
            self._add(counts, usage.cost, below=True)
        if self.ledger is not None:
            self.ledger.spent("", usage)

    def _add(self, counts: Counts, cost: Decimal | None, *, below: bool = False) -> None:
        agent = "" if below else self.agent
        totalled = below
        meter: Meter | None = self
        while meter is not None:
            meter._total.add(counts, cost)
            if meter.totals and not totalled:
                totalled = True
                for total in meter.totals:
                    total._total.add(counts, cost)
            if below:
                if meter._below is None:
                    meter._below = _Sum()
                meter._below.add(counts, cost)
            if meter._by is not None and agent:
                by = meter._by.get(agent)
                if by is None:
                    by = meter._by[agent] = _Sum()
                by.add(counts, cost)
            below = below or meter.journaled
            meter = meter.parent

    def _check(self, tool: str | None) -> None:
        meter: Meter | None = self
        while meter is not None:
            limits = meter.limits
            if limits is not None:
                spent = meter._total.usage()
                reached = limits.reached(spent)
                if tool is not None:
                    allowed = limits.tool_calls_limit
                    enough = allowed is not None and spent.tool_calls + meter._tools >= allowed
                    reached = (tool, allowed) if enough and allowed is not None else None
                if reached is not None:
                    by = {name: one.usage() for name, one in (meter._by or {}).items()}
                    raise UsageLimitReached(
                        meter.kind,
                        meter.name,
                        *reached,
                        spent,
                        by,
                        of_one_answer=meter.of_one_answer,
                    )
            meter = meter.parent


__all__ = ["Ledger", "Meter"]
