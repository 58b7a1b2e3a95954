"""How a system is: checks by name, each of them bounded in time, and what they say together.

Two questions of process managers are answered apart. *Live*: would a restart of the process help? Only
checks that say so count (the loop, a root that has given up). *Ready*: can it take work? Any check that
has failed says no. One that is degraded says neither: it is told, with its reason.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from ..as_data import fields_of
from ..errors import WrongUse
from ..kernel.home import Home
from ..secrets import message_of
from .giving_up import GaveUp

CHECK_TIMEOUT_S = 2.0
"""How long a check may take: probes of process managers wait a few seconds at most."""

LAG_S = 0.5
"""How late the loop may be before that is told."""

MARGIN_S = 0.5
"""How much longer than its slowest check a look from another thread waits for the loop."""


class CheckState(StrEnum):
    """What a check has found."""

    OK = "ok"
    DEGRADED = "degraded"
    """Something is not as it should be, and the service works all the same."""
    FAILED = "failed"
    """It cannot take work now."""


@dataclass(frozen=True, slots=True)
class Degraded:
    """What a check returns that found something which does not keep the service from working."""

    reason: str
    since: float | None = None
    """Since when, in seconds since the epoch, if that is known; else when it was first seen."""


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """What a check returns that found the service unable to work; raising an error says the same."""

    reason: str
    since: float | None = None


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """What one check has found, why, and since when (in seconds since the epoch)."""

    name: str
    state: CheckState = CheckState.OK
    reason: str | None = None
    since: float | None = None
    live: bool = False
    """Whether a restart of the process helps when it has failed."""

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain data, for JSON."""
        return fields_of(self)


@dataclass(frozen=True, slots=True)
class SystemHealth:
    """How a system is: its *checks* by name."""

    system: str
    checks: Mapping[str, HealthCheck] = field(default_factory=dict[str, HealthCheck])

    @property
    def state(self) -> CheckState:
        """The worst that a check has found."""
        states = {check.state for check in self.checks.values()}
        for worst in (CheckState.FAILED, CheckState.DEGRADED):
            if worst in states:
                return worst
        return CheckState.OK

    @property
    def ok(self) -> bool:
        """Whether all is well: nothing has failed, or is degraded."""
        return self.state is CheckState.OK

    @property
    def live(self) -> bool:
        """Whether a restart of the process would not help."""
        return not any(one.live and one.state is CheckState.FAILED for one in self.checks.values())

    @property
    def ready(self) -> bool:
        """Whether the service can take work: nothing has failed."""
        return self.state is not CheckState.FAILED

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, for JSON."""
        return {
            **fields_of(self),
            "state": self.state.value,
            "ok": self.ok,
            "live": self.live,
            "ready": self.ready,
        }


CheckFunction = Callable[[], Any]
"""What is called for a check: plain, in a thread of its own, or async, on the system's loop."""


class CheckedSystem(Protocol):
    """What is checked of every system; `ActorSystem` is one."""

    name: str
    gave_up: GaveUp | None

    @property
    def running(self) -> bool: ...
    @property
    def home(self) -> Home | None: ...


class _Check:
    """One function, and the call of it that is under way: there is one at a time."""

    def __init__(self, name: str, fn: CheckFunction, live: bool, timeout_s: float) -> None:
        self.name = name
        self.fn = fn
        self.live = live
        self.timeout_s = timeout_s
        self._running: asyncio.Future[Any] | None = None

    async def call(self) -> Any:
        """Return what it found; what takes too long, or raises, is `Unhealthy`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.timeout_s
        running = self._running
        if running is None or running.done():
            running = self._running = self._begin(loop)
        await asyncio.wait([running], timeout=self.timeout_s)
        if running.done() and not running.cancelled() and running.exception() is None:
            result = running.result()
            if not inspect.isawaitable(result):
                return result
            # A plain function that has returned something to wait for.
            if self._running is running:
                self._running = loop.create_task(_await(result), name=f"health check {self.name}")
            following = self._running
            assert following is not None, "it has begun"
            running = following
            await asyncio.wait([running], timeout=max(0.0, until - loop.time()))
        return self._found(running)

    def _found(self, running: asyncio.Future[Any]) -> Any:
        if not running.done():
            if isinstance(running, asyncio.Task):
                running.cancel()
            # One in a thread cannot be ended, and is not called a second time beside that.
            return Unhealthy(f"no answer within {self.timeout_s:g} s")
        if running.cancelled():
            return Unhealthy("it was cancelled")
        error = running.exception()
        if error is not None:
            said = message_of(error).strip()
            return Unhealthy(f"{type(error).__name__}: {said}" if said else type(error).__name__)
        return running.result()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
        name = f"health check {self.name}"
        if inspect.iscoroutinefunction(self.fn):
            return loop.create_task(self.fn(), name=name)
        found: asyncio.Future[Any] = loop.create_future()
        if hasattr(loop, "inline_pool"):
            _call(self.fn, _call_now, found)
        else:
            # Not one of a pool: one that hangs would keep a thread of that, and the program's end.
            threading.Thread(
                target=_call,
                args=(self.fn, loop.call_soon_threadsafe, found),
                name=name,
                daemon=True,
            ).start()
        return found


def _call(fn: CheckFunction, hand_over: Callable[..., Any], found: asyncio.Future[Any]) -> None:
    """Call *fn* and hand what came of it over to the loop."""
    result, error = None, None
    try:
        result = fn()
    except Exception as raised:
        error = raised
    except BaseException as raised:  # to end the thread is not what a check is for
        error = RuntimeError(f"it raised {type(raised).__name__}")
    try:
        hand_over(_settle, found, result, error)
    except RuntimeError:
        pass  # the loop has been closed meanwhile


def _call_now(fn: Callable[..., object], *args: Any) -> None:
    fn(*args)


def _settle(found: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if found.done():
        return
    if error is None:
        found.set_result(result)
    else:
        found.set_exception(RuntimeError(str(error)) if isinstance(error, StopIteration) else error)


async def _await(result: Awaitable[Any]) -> Any:
    return await result


_everywhere: dict[str, tuple[Callable[[Any], Awaitable[Any]], bool]] = {}
"""The checks that the layers above make of every system, by name."""


def set_health_check(name: str, fn: Callable[[Any], Awaitable[Any]], *, live: bool = False) -> None:
    """Have *fn* (async, given the system) check every system. For the layers of the library."""
    _everywhere[name] = (fn, live)


class HealthBoard:
    """The checks of one system, and since when each has found what it finds.

    `add` may be called from any thread; all else belongs to the system's loop.
    """

    def __init__(self, system: CheckedSystem) -> None:
        self._system = system
        self._checks: dict[str, _Check] = {}
        self._found: dict[str, tuple[CheckState, float]] = {}

    def _take_in(self) -> None:
        """Have what the layers above check of every system: they may have been imported since."""
        for name, (fn, live) in _everywhere.items():
            if name not in self._checks:
                self._enter(name, _bound(fn, self._system), live=live)

    def add(
        self,
        name: str,
        fn: CheckFunction,
        *,
        live: bool = False,
        timeout_s: float = CHECK_TIMEOUT_S,
    ) -> Callable[[], None]:
        """Have *fn* called at every look; return a function that ends that."""
        if not isinstance(name, str) or not name.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
            raise WrongUse(f"The name of a health check is a non-empty text, not {name!r}")
        if name in ("system", "loop", "root"):
            raise WrongUse(f"The health check {name!r} is the system's own; choose another name")
        if not callable(fn):
            raise WrongUse(
                f"The health check {name!r} is a function, plain or async, not {fn!r}. "
                "For example: system.add_health_check('queue', queue.ping)"
            )
        if not 0 < timeout_s < threading.TIMEOUT_MAX:
            raise WrongUse(f"timeout_s={timeout_s!r}: seconds, above 0")
        return self._enter(name, fn, live=live, timeout_s=timeout_s)

    def _enter(
        self, name: str, fn: CheckFunction, *, live: bool, timeout_s: float = CHECK_TIMEOUT_S
    ) -> Callable[[], None]:
        check = self._checks[name] = _Check(name, fn, live, timeout_s)

        def remove() -> None:
            if self._checks.get(name) is check:
                del self._checks[name]

        return remove

    # -- looking -----------------------------------------------------------------------------------

    async def look(self, *, only_live: bool = False) -> SystemHealth:
        """Return how the system is now. On any loop; a blocked one is told, not waited for."""
        home = self._system.home
        if home is None or home.loop.is_closed() or home.forked:
            return self._health([self._standing()])
        if asyncio.get_running_loop() is home.loop:
            return await self._look(only_live)
        asked = self._ask(home, only_live)
        await asyncio.wait([asyncio.wrap_future(asked)], timeout=self._limit_s(only_live))
        return self._answer(asked, only_live)

    def look_blocking(self, *, only_live: bool = False) -> SystemHealth:
        """Return how the system is now, in a thread without a loop."""
        home = self._system.home
        if home is None or home.loop.is_closed() or home.forked:
            return self._health([self._standing()])
        if home.home_thread == threading.get_ident():
            raise WrongUse("system.health_blocking() would block the loop: await system.health()")
        asked = self._ask(home, only_live)
        try:
            asked.exception(self._limit_s(only_live))
        except TimeoutError:
            pass
        return self._answer(asked, only_live)

    def _ask(self, home: Home, only_live: bool) -> Future[SystemHealth]:
        return asyncio.run_coroutine_threadsafe(self._look(only_live), home.loop)

    def _limit_s(self, only_live: bool) -> float:
        chosen = (one for one in list(self._checks.values()) if one.live or not only_live)
        return max((one.timeout_s for one in chosen), default=CHECK_TIMEOUT_S) + MARGIN_S

    def _answer(self, asked: Future[SystemHealth], only_live: bool) -> SystemHealth:
        if asked.done() and not asked.cancelled() and asked.exception() is None:
            return asked.result()
        asked.cancel()
        limit_s = self._limit_s(only_live)
        reason = f"the loop's thread has not answered for {limit_s:g} s: something blocks it"
        return self._health([self._judge("loop", Unhealthy(reason), live=True)])

    async def _look(self, only_live: bool) -> SystemHealth:
        self._take_in()
        asked_at = time.monotonic()
        await asyncio.sleep(0)
        lag_s = time.monotonic() - asked_at
        late = Degraded(f"it was {lag_s:.1f} s late") if lag_s > LAG_S else None
        found = [self._standing(), self._root(), self._judge("loop", late, live=True)]
        chosen = [one for one in list(self._checks.values()) if one.live or not only_live]
        results = await asyncio.gather(*(one.call() for one in chosen))
        found += [
            self._judge(one.name, result, live=one.live)
            for one, result in zip(chosen, results, strict=True)
        ]
        return self._health(found)

    def _standing(self) -> HealthCheck:
        home = self._system.home
        if home is None:
            return self._judge("system", Unhealthy("it has not been started"))
        if not self._system.running:
            return self._judge("system", Unhealthy("it stops, or has stopped"))
        return self._judge("system", None)

    def _root(self) -> HealthCheck:
        gave_up = self._system.gave_up
        return self._judge("root", None if gave_up is None else Unhealthy(str(gave_up)), live=True)

    def _health(self, found: Iterable[HealthCheck]) -> SystemHealth:
        return SystemHealth(self._system.name, {check.name: check for check in found})

    def _judge(self, name: str, result: Any, *, live: bool = False) -> HealthCheck:
        """Return what a check has found by what it has returned."""
        reason: str | None = None
        since: float | None = None
        state = CheckState.OK
        if isinstance(result, Degraded | Unhealthy):
            state = CheckState.DEGRADED if isinstance(result, Degraded) else CheckState.FAILED
            reason, since = result.reason, result.since
        elif result is False:
            state, reason = CheckState.FAILED, "it returned False"
        before = self._found.get(name)
        if before is None or before[0] is not state:
            before = self._found[name] = (state, time.time())
        return HealthCheck(name, state, reason, before[1] if since is None else since, live)


def _bound(fn: Callable[[Any], Awaitable[Any]], system: Any) -> CheckFunction:
    async def check() -> Any:
        return await fn(system)

    return check


__all__ = [
    "CHECK_TIMEOUT_S",
    "CheckState",
    "Degraded",
    "HealthBoard",
    "HealthCheck",
    "SystemHealth",
    "Unhealthy",
    "set_health_check",
]
