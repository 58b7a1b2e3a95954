"""How much one system asks a provider: requests and tokens a minute, requests at once, and a breaker.

A `Gate` stands before each provider, and before each of its models. Requests pass it in the order in
which they come; none overtakes another, so none starves. No minute, whenever it begins, has more than
its limit: a token bucket, which providers use themselves, would let twice as much through in its first.
The breaker's arithmetic is that of the circuit breaker among the patterns. Time is the system's, and so
virtual in simulation.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agenticaiframework.patterns.resilience import (
    Circuit,
    CircuitChanged,
    Trip,
)

from .errors import ProviderLimitReached, ProviderUnavailable
from .settings import ProviderSettings, provider_settings

# A token more or less than a float can tell would let a waiter wait for ever.
_EPSILON: Final = 1e-9
_MINUTE_S: Final = 60.0
LONGEST_PAUSE_S: Final = 3600.0
"""What a provider asks for is believed for so long: then one request, or a few, find out whether it still
holds. A wrong header would otherwise end all requests to it for as long as the program lives."""


class Window:
    """What was used in the last minute, of so much as is allowed in each.

    >>> window = Window(3)
    >>> window.add(0.0, 1), window.add(10.0, 2)
    ([0.0, 1], [10.0, 2])
    >>> window.wait_s(20.0, 1), window.wait_s(20.0, 2), window.wait_s(20.0, 4)
    (40.0, 50.0, 100.0)
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._used: deque[list[float]] = deque()
        self._sum = 0.0

    def add(self, now: float, amount: float) -> list[float]:
        """Use *amount*; returns the entry, for `correct`."""
        entry = [now, amount]
        self._used.append(entry)
        self._sum += amount
        return entry

    def correct(self, entry: list[float], amount: float) -> None:
        """Let *entry* have used *amount*; nothing if its minute is over."""
        if entry[1] >= 0:
            self._sum += amount - entry[1]
            entry[1] = amount

    def wait_s(self, now: float, amount: float) -> float:
        """Return how long it takes at least until *amount* may be used."""
        used = self._used
        while used and used[0][0] + _MINUTE_S <= now + _EPSILON:
            over = used.popleft()
            self._sum -= over[1]
            over[1] = -1.0
        if not used:
            self._sum = 0.0
        missing = self._sum + amount - self.limit
        if missing <= _EPSILON:
            return 0.0
        # What does not fit into the next minute waits for the one after it, and so on.
        minutes = max(0.0, (missing - _EPSILON) // self.limit)
        missing -= minutes * self.limit
        for at, part in used:
            missing -= part
            if missing <= _EPSILON:
                return at + _MINUTE_S * (1 + minutes) - now
        return _MINUTE_S * max(1.0, minutes)


@dataclass(slots=True, eq=False)
class Pass:
    """The place of one request behind a gate, from `Gate.enter` to `Gate.leave`."""

    tokens: float
    probe: bool = False
    used: list[float] | None = None
    """Its entry among the tokens used."""


@dataclass(slots=True, eq=False)
class _Waiting:
    passed: Pass
    until: float | None
    granted: asyncio.Future[None] = field(repr=False)


class Gate:
    """The limits of one name in one system. State belongs to the thread of the system's loop."""

    def __init__(
        self,
        name: str,
        clock: Callable[[], float],
        call_later: Callable[..., Any],
        *,
        publish: Callable[[Any], object] | None = None,
        breaker: bool = True,
    ) -> None:
        self.name = name
        self._clock = clock
        self._call_later = call_later
        self._publish = publish
        self._breaker = breaker
        self._settings = provider_settings(name)
        self._limited = False
        self._requests: Window | None = None
        self._tokens: Window | None = None
        self._circuit = Circuit()
        self._last = "no error"
        self._in_flight = 0
        self._paused_until = 0.0
        self._pause_reason = ""
        self._waiting: deque[_Waiting] = deque()
        self._timer: Any = None
        self._apply(self._settings)

    @property
    def settings(self) -> ProviderSettings:
        """What is set for its name now."""
        return provider_settings(self.name)

    @property
    def open(self) -> bool:
        """Whether a request passes without a look at limits: `enter_now` may be called."""
        return (
            not self._limited
            and not self._paused_until
            and not self._waiting
            and self._circuit.state == "closed"
            and provider_settings(self.name) is self._settings
        )

    def enter_now(self) -> Pass:
        """Let a request pass a gate that is `open`."""
        self._in_flight += 1
        return Pass(0.0)

    @property
    def in_flight(self) -> int:
        """How many requests have passed and are not over."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """How many requests wait to pass."""
        return sum(not w.granted.done() for w in self._waiting)

    @property
    def counts_tokens(self) -> bool:
        """Whether the tokens of a request count, so that they have to be estimated before it."""
        return self.settings.tokens_per_minute is not None

    async def enter(self, tokens: float, patience_s: float | None) -> Pass:
        """Return when the request may be sent; `leave` with the pass when it is over.

        *tokens* is what it will about cost, *patience_s* how long its asker waits (None: as long as it
        takes). Raises `ProviderLimitReached` as soon as it is clear that it would have to wait longer,
        and `ProviderUnavailable` while the breaker is open.
        """
        settings = provider_settings(self.name)
        if settings is not self._settings:
            self._apply(settings)
        passed = Pass(tokens)
        if self._breaker:
            self._check_circuit(passed)
        try:
            if self._limited or self._paused_until or self._waiting:
                await self._wait(passed, patience_s)
            else:
                self._in_flight += 1
        except BaseException:
            if passed.probe:
                self._circuit = self._circuit.abandoned()
            raise
        return passed

    def leave(
        self,
        passed: Pass,
        *,
        tokens: float | None = None,
        failed: str | None = None,
        answered: bool = True,
    ) -> None:
        """The request is over: it cost *tokens*; it *failed* for this reason as in an outage; or the
        provider *answered* (if only with a refusal), which it did not where the asker has gone away."""
        self._in_flight -= 1
        if tokens is not None and passed.used is not None and self._tokens is not None:
            self._tokens.correct(passed.used, tokens)
        if self._breaker:
            self._settle(passed, failed, answered)
        self._pump()

    def pause(self, delay_s: float, why: str) -> None:
        """The provider asked for no requests for *delay_s* seconds: hold all back, and say so at once
        to those who do not wait that long. At most for `LONGEST_PAUSE_S`."""
        delay_s = min(delay_s, LONGEST_PAUSE_S)
        until = self._clock() + delay_s
        if until <= self._paused_until:
            return
        self._paused_until = until
        self._pause_reason = why
        for waiting in list(self._waiting):
            if waiting.until is not None and waiting.until < until and not waiting.granted.done():
                waiting.granted.set_exception(
                    ProviderLimitReached(
                        self.name, why, delay_s, max(0.0, waiting.until - self._clock())
                    )
                )
                self._waiting.remove(waiting)
        self._pump()

    def close(self) -> None:
        """The system ends: nothing passes any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- the breaker ---------------------------------------------------------------------------

    @property
    def _trip(self) -> Trip:
        settings = self._settings
        # A failure counts until a request succeeds, however long that takes.
        return Trip(settings.failures, float("inf"), settings.reset_after_s, 1)

    def _check_circuit(self, passed: Pass) -> None:
        circuit = self._circuit
        if circuit.state == "closed":
            return
        entered = circuit.enter(self._trip, self._clock())
        if not isinstance(entered, Circuit):
            raise self._unavailable(entered)
        passed.probe = True
        self._become(entered)

    def _unavailable(self, retry_after_s: float) -> ProviderUnavailable:
        return ProviderUnavailable(self.name, self._settings.failures, self._last, retry_after_s)

    def _settle(self, passed: Pass, failed: str | None, answered: bool) -> None:
        circuit = self._circuit
        if circuit.state != "closed" and not passed.probe:
            return  # it entered before; that belongs to the time before
        if failed is not None:
            self._last = failed
            self._become(circuit.failure(self._trip, self._clock()))
        elif not answered:
            if passed.probe:
                self._become(circuit.abandoned())
        elif circuit.state == "closed":
            if circuit.failed_at:
                self._circuit = Circuit()
        else:
            self._become(circuit.success(self._trip, self._clock()))

    def _become(self, circuit: Circuit) -> None:
        before, self._circuit = self._circuit.state, circuit
        if before == circuit.state:
            return
        if circuit.state == "open":
            waiting, self._waiting = self._waiting, deque()
            for one in waiting:
                if not one.granted.done():
                    one.granted.set_exception(self._unavailable(self._settings.reset_after_s))
        if self._publish is not None:
            self._publish(CircuitChanged(self.name, before, circuit.state))

    # -- the limits ----------------------------------------------------------------------------

    def _apply(self, settings: ProviderSettings) -> None:
        before, self._settings = self._settings, settings
        requests, tokens = settings.requests_per_minute, settings.tokens_per_minute
        if self._requests is None or requests != before.requests_per_minute:
            self._requests = None if requests is None else Window(max(1.0, requests))
        if self._tokens is None or tokens != before.tokens_per_minute:
            self._tokens = None if tokens is None else Window(max(1.0, tokens))
        self._limited = not (requests is None and tokens is None and settings.concurrent is None)

    async def _wait(self, passed: Pass, patience_s: float | None) -> None:
        now = self._clock()
        if not self._waiting and self._has_place() and self._wait_s(passed) <= _EPSILON:
            self._pass(passed)
            return
        ahead = [w for w in self._waiting if not w.granted.done()]
        self._refuse_if_too_long(self._wait_s(passed, ahead), patience_s)
        until = None if patience_s is None else now + patience_s
        waiting = _Waiting(passed, until, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._pump()
        timer: Any = None
        if patience_s is not None and not waiting.granted.done():
            timer = self._call_later(patience_s, self._expire, waiting, patience_s)
        try:
            await waiting.granted
        except BaseException:
            granted = waiting.granted
            if not granted.done():
                granted.cancel()
            elif not granted.cancelled() and granted.exception() is None:
                self._in_flight -= 1  # it was given its place just as it was called off
            self._pump()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _expire(self, waiting: _Waiting, patience_s: float) -> None:
        if not waiting.granted.done():
            left_s = self._wait_s(waiting.passed)
            waiting.granted.set_exception(
                ProviderLimitReached(self.name, self._limits(), left_s, patience_s)
            )
            self._pump()

    def _refuse_if_too_long(self, wait_s: float, patience_s: float | None) -> None:
        pause_s = self._pause_s()
        limit_s = patience_s
        if limit_s is None:
            if pause_s <= self._settings.max_wait_s:
                return
            limit_s = self._settings.max_wait_s
        if wait_s > limit_s + _EPSILON:
            why = self._pause_reason if pause_s >= wait_s - _EPSILON else self._limits()
            raise ProviderLimitReached(self.name, why, wait_s, limit_s)

    def _limits(self) -> str:
        settings = self._settings
        limits = [
            f"{value:g} {words}"
            for value, words in (
                (settings.requests_per_minute, "requests a minute"),
                (settings.tokens_per_minute, "tokens a minute"),
                (settings.concurrent, "at once"),
            )
            if value is not None
        ]
        return "its limits: " + ", ".join(limits)

    def _pump(self) -> None:
        """Let the requests through that may begin, in their order; look again when the first in line may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            first = self._waiting[0]
            if not first.granted.done():
                if not self._has_place():
                    return  # who leaves looks again
                wait_s = self._wait_s(first.passed)
                if wait_s > _EPSILON:
                    self._timer = self._call_later(wait_s, self._pump)
                    return
                self._pass(first.passed)
                first.granted.set_result(None)
            self._waiting.popleft()

    def _has_place(self) -> bool:
        concurrent = self._settings.concurrent
        return concurrent is None or self._in_flight < concurrent

    def _pass(self, passed: Pass) -> None:
        now = self._clock()
        self._in_flight += 1
        if self._requests is not None:
            self._requests.add(now, 1.0)
        if self._tokens is not None:
            passed.used = self._tokens.add(now, self._counted(passed))

    def _wait_s(self, passed: Pass, ahead: Sequence[_Waiting] = ()) -> float:
        """Return how long it takes at least until *passed* may pass, with those *ahead* of it."""
        now = self._clock()
        wait_s = self._pause_s()
        if self._requests is not None:
            wait_s = max(wait_s, self._requests.wait_s(now, 1.0 + len(ahead)))
        if self._tokens is not None:
            tokens = self._counted(passed) + sum(self._counted(w.passed) for w in ahead)
            wait_s = max(wait_s, self._tokens.wait_s(now, tokens))
        return wait_s

    def _counted(self, passed: Pass) -> float:
        # One that is larger than a minute's passes when nothing else has been used.
        return passed.tokens if self._tokens is None else min(passed.tokens, self._tokens.limit)

    def _pause_s(self) -> float:
        if not self._paused_until:
            return 0.0
        left_s = self._paused_until - self._clock()
        if left_s <= 0:
            self._paused_until = 0.0
            return 0.0
        return left_s


__all__ = ["Gate", "Pass"]
