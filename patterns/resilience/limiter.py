"""Rate limiting: a token bucket, shared by name."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

from pydantic import Field

from agenticaiframework.actors import AgenticError, Request

from ..definition.fields import Seconds
from ..definition.step import Ask
from ..execution.execution import Execution
from ..vocabulary.causes import retry_after_s
from ..vocabulary.target import Target
from .guard import GuardActor, GuardDefinition, GuardedPattern, Message, ask_guard, find_guard

_PUMP: Final = "pump"


class RateLimited(AgenticError):
    """A call would have had to wait longer than it may. ``retry_after_s`` says how long."""

    def __init__(self, limiter: str, retry_after_s: float, max_wait_s: float) -> None:
        super().__init__(
            f"The rate limiter {limiter!r} has no room for another {retry_after_s:.3g} s, and the "
            f"call may wait {max_wait_s:g} s. Raise max_wait_s or the rate, or call less."
        )
        self.limiter = limiter
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Rate:
    """How much is allowed: *per_s* tokens a second, at most *burst* saved up."""

    per_s: float
    burst: float

    def __str__(self) -> str:
        return f"{self.per_s:g} a second, bursts of {self.burst:g}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket at one moment: how full it was, and when that was."""

    tokens: float
    at: float

    def refilled(self, rate: Rate, now: float) -> Bucket:
        """Return the bucket as it is at *now*.

        >>> Bucket(0, 10.0).refilled(Rate(per_s=2, burst=5), 11.5)
        Bucket(tokens=3.0, at=11.5)
        """
        return Bucket(min(rate.burst, self.tokens + (now - self.at) * rate.per_s), now)

    def wait_s(self, rate: Rate, tokens: float) -> float:
        """Return how long it takes until there are *tokens*; 0 if they are there.

        >>> Bucket(1, 0.0).wait_s(Rate(per_s=2, burst=5), 3)
        1.0
        """
        return max(0.0, (tokens - self.tokens) / rate.per_s)


@dataclass(frozen=True, slots=True)
class Acquire(Message[Rate]):
    """Let a call of *tokens* pass, within *max_wait_s* seconds."""

    tokens: float = 1.0
    max_wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Pause(Message[Rate]):
    """The agent behind the limiter asked for no calls for *delay_s* seconds."""

    delay_s: float = 0.0


# A token more or less than a float can tell would let a waiter wait for ever.
_EPSILON = 1e-9


class LimiterActor(GuardActor[Rate]):
    """Lets calls pass in their order, as tokens come. No call overtakes another, so none starves."""

    kind = "rate limiter"

    def __init__(self, name: str, settings: Rate) -> None:
        super().__init__(name, settings)
        self._bucket: Bucket | None = None
        self._paused_until = 0.0
        self._waiting: deque[tuple[Request, float]] = deque()
        self._wanted = 0.0
        self._timer: Any = None

    def idle(self) -> bool:
        bucket = self._full()
        return not self._waiting and bucket.tokens >= self.settings.burst and not self._pause_s()

    def decide(self, message: Any) -> Any:
        if message is _PUMP:
            self._timer = None
            self._pump()
        elif isinstance(message, Pause):
            # Those that wait already wait for this too: before each one passes, it is looked again.
            self._paused_until = max(self._paused_until, self.system.clock() + message.delay_s)
        elif isinstance(message, Acquire):
            self._acquire(message)
        return None

    def _acquire(self, message: Acquire) -> None:
        wait_s = self._wait_s(self._wanted + message.tokens)
        if message.max_wait_s is not None and wait_s > message.max_wait_s + _EPSILON:
            raise RateLimited(self.guard_name, wait_s, message.max_wait_s)
        if not self._waiting and wait_s <= _EPSILON:
            self._take(message.tokens)
            return
        self._waiting.append((cast(Request, self.defer_reply()), message.tokens))
        self._wanted += message.tokens
        self._again()

    def _pump(self) -> None:
        while self._waiting:
            request, tokens = self._waiting[0]
            if request.asker_waiting:
                if self._wait_s(tokens) > _EPSILON:
                    self._again()
                    return
                self._take(tokens)
                request.reply()
            self._waiting.popleft()
            self._wanted -= tokens
        self._wanted = 0.0

    def _again(self) -> None:
        """Look again when the first in line may pass."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._timer = self.send_after(self._wait_s(self._waiting[0][1]), _PUMP)

    def _full(self) -> Bucket:
        now = self.system.clock()
        bucket = self._bucket or Bucket(self.settings.burst, now)
        self._bucket = bucket.refilled(self.settings, now)
        return self._bucket

    def _take(self, tokens: float) -> None:
        bucket = self._full()
        self._bucket = Bucket(bucket.tokens - tokens, bucket.at)

    def _wait_s(self, tokens: float) -> float:
        return max(self._full().wait_s(self.settings, tokens), self._pause_s())

    def _pause_s(self) -> float:
        return max(0.0, self._paused_until - self.system.clock())


class RateLimiterDefinition(GuardDefinition):
    """A rate limit: how much, for which agent, under which shared name."""

    rate: float = Field(gt=0, allow_inf_nan=False)
    per_s: Seconds = 1.0
    burst: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    limiter: str | None = Field(default=None, min_length=1)
    cost: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    max_wait_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class RateLimiter(GuardedPattern):
    """*agent* is asked at most *rate* times in *per_s* seconds; calls beyond that wait in line.

    *burst* is how many calls may come at once after a quiet time (default: *rate*). All limiters of
    one system with the same *limiter* name share one bucket (default: this pattern's name), so that
    many agents keep to one provider's limit together. A call costs *cost* tokens. One that would wait
    longer than *max_wait_s* fails at once with `RateLimited`. An error of the agent that has a
    ``retry_after_s`` holds back all users of the limiter for that long.

    Example: ``rate=10, per_s=60, burst=2``: two calls at once, then one every six seconds.
    """

    kind: ClassVar[str] = "rate_limiter"
    definition_type = RateLimiterDefinition
    example = 'RateLimiter(name="slow writer", agent="writer", rate=10, per_s=60, limiter="openai")'

    def __init__(
        self,
        name: str,
        agent: Target | Ask | Mapping[str, Any],
        rate: float,
        *,
        per_s: float = 1.0,
        burst: float | None = None,
        limiter: str | None = None,
        cost: float = 1.0,
        max_wait_s: float | None = None,
        timeout: float | None = None,
        usage_limits: Any = None,
    ) -> None:
        super().__init__(
            self._define(
                {
                    "name": name,
                    "agent": agent,
                    "rate": rate,
                    "per_s": per_s,
                    "burst": burst,
                    "limiter": limiter,
                    "cost": cost,
                    "max_wait_s": max_wait_s,
                    "timeout": timeout,
                    "usage_limits": usage_limits,
                }
            )
        )

    def _prepare(self) -> None:
        spec = self._spec
        burst = max(spec.rate, spec.cost) if spec.burst is None else spec.burst
        if spec.cost > burst:
            raise self._wrong(
                f"a call costs {spec.cost:g}, and burst={burst:g} is all that is ever saved up"
            )
        self._rate = Rate(spec.rate / spec.per_s, burst)

    @property
    def _spec(self) -> RateLimiterDefinition:
        return cast(RateLimiterDefinition, self._definition)

    async def pass_through(self, run: Execution, call: Callable[[], Awaitable[Any]]) -> Any:
        spec = self._spec
        name = spec.limiter or spec.name
        acquire = Acquire(self._rate, spec.cost, spec.max_wait_s)
        await ask_guard(run.system, LimiterActor, name, acquire)
        try:
            return await call()
        except Exception as error:
            delay_s = retry_after_s(error)
            if delay_s:
                pause = Pause(self._rate, delay_s)
                find_guard(run.system, LimiterActor, name, self._rate).tell(pause)
            raise

    def note(self) -> str:
        spec = self._spec
        return f"at most {spec.rate:g} in {spec.per_s:g} s"
