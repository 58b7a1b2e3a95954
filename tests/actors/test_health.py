"""The health of a system: checks by name, each bounded in time, from whichever thread."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agenticaiframework.actors import (
    Actor,
    ActorSystem,
    CheckState,
    Degraded,
    Mailbox,
    SystemHealth,
    Unhealthy,
    WrongUse,
)


async def checked(fn: Any, **options: Any) -> SystemHealth:
    async with ActorSystem("service") as system:
        system.add_health_check("own", fn, **options)
        return await system.health()


def test_a_system_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1234.5)  # the machine's own may be stepped

    async def main() -> None:
        async with ActorSystem("service") as system:
            health = await system.health()
        assert health.ok
        assert health.live
        assert health.ready
        assert health.state is CheckState.OK
        assert {"system", "loop", "root"} <= set(health.checks)
        data = json.loads(json.dumps(health.to_dict()))
        assert data["ok"] is True
        assert data["checks"]["loop"]["state"] == "ok"
        assert data["checks"]["loop"]["since"] == 1234.5

    asyncio.run(main())


async def _well() -> bool:
    return True


async def _fails() -> None:
    raise ConnectionError("the queue is away")


async def _hangs() -> None:
    await asyncio.sleep(3600)


async def _degraded() -> Degraded:
    return Degraded("half of the workers are gone", since=12.0)


def _raises() -> None:
    raise KeyError("queue")


@pytest.mark.parametrize(
    ("fn", "state", "reason"),
    [
        (_well, "ok", None),
        (lambda: None, "ok", None),
        (lambda: 0, "ok", None),
        (lambda: "PONG", "ok", None),
        (lambda: False, "failed", "it returned False"),
        (lambda: Unhealthy("no disk"), "failed", "no disk"),
        (lambda: Degraded("slow"), "degraded", "slow"),
        (_degraded, "degraded", "half of the workers are gone"),
        (_fails, "failed", "ConnectionError: the queue is away"),
        (_raises, "failed", "KeyError: 'queue'"),
        (_hangs, "failed", "no answer within 0.05 s"),
        (lambda: _well(), "ok", None),
        (lambda: _fails(), "failed", "ConnectionError: the queue is away"),
        (lambda: _hangs(), "failed", "no answer within 0.05 s"),
    ],
)
def test_what_a_check_finds(fn: Any, state: str, reason: str | None) -> None:
    health = asyncio.run(checked(fn, timeout_s=0.05 if reason and "0.05" in reason else 5.0))
    found = health.checks["own"]
    assert (found.state, found.reason) == (state, reason)
    assert health.state == state
    assert health.ok is (state == "ok")
    assert health.ready is (state != "failed")
    assert health.live, "the check does not say that a restart helps"


class Deaf(Actor):
    async def on_receive(self, message: Any) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("mailbox", "sent", "asked", "reason"),
    [
        (Mailbox(), 9_999, 0, None),
        (Mailbox(), 10_000, 0, "10,000 messages wait at deaf"),
        (Mailbox(5, overflow="fail"), 4, 0, None),
        (Mailbox(5, overflow="fail"), 5, 0, "5 messages wait at deaf, whose mailbox is full"),
        (
            Mailbox(5, overflow="backpressure"),
            5,
            2,
            "7 messages wait at deaf, whose mailbox is full",
        ),
    ],
)
def test_messages_that_pile_up_are_told(
    mailbox: Mailbox, sent: int, asked: int, reason: str | None
) -> None:
    class Bounded(Deaf):
        pass

    Bounded.mailbox = mailbox

    async def main() -> None:
        async with ActorSystem("service") as system:
            ref = system.start(Bounded)
            ref.tell("in hand")
            await asyncio.sleep(0)
            for number in range(sent):
                ref.tell(number)
            asks = [asyncio.ensure_future(ref.request(number)) for number in range(asked)]
            await asyncio.sleep(0)
            health = await system.health()
            found = health.checks["mailboxes"]
            assert found.reason == (reason and reason.replace("deaf", ref.label))
            assert found.state == ("ok" if reason is None else "degraded")
            assert health.ready
            ref.kill()
            await asyncio.gather(*asks, return_exceptions=True)

    asyncio.run(main())


def test_a_check_that_blocks_is_told_and_not_called_beside_itself() -> None:
    async def main() -> None:
        until = threading.Event()
        calls: list[int] = []

        def blocks() -> None:
            calls.append(1)
            until.wait(60)

        async with ActorSystem() as system:
            system.add_health_check("own", blocks, timeout_s=0.05)
            for _ in range(3):
                health = await system.health()
                assert health.checks["own"].reason == "no answer within 0.05 s"
            assert len(calls) == 1
            until.set()
            async with asyncio.timeout(120):
                while not (await system.health()).ok:
                    await asyncio.sleep(0.01)

    asyncio.run(main())


def test_looks_at_the_same_time_share_the_calls() -> None:
    async def main() -> None:
        calls: list[int] = []

        async def slow() -> None:
            calls.append(1)
            await asyncio.sleep(0.05)

        async with ActorSystem() as system:
            system.add_health_check("own", slow)
            found = await asyncio.gather(*(system.health() for _ in range(20)))
        assert all(health.ok for health in found)
        assert len(calls) == 1

    asyncio.run(main())


def test_since_is_when_the_state_was_first_seen() -> None:
    async def main() -> None:
        bad: list[str] = []

        async with ActorSystem() as system:
            system.add_health_check("own", lambda: Unhealthy(bad[0]) if bad else None)
            first = (await system.health()).checks["own"]
            bad.append("one")
            second = (await system.health()).checks["own"]
            bad[0] = "two"
            third = (await system.health()).checks["own"]
        assert first.since is not None
        assert second.since is not None
        assert first.since < second.since
        assert third.since == second.since
        assert third.reason == "two"

    asyncio.run(main())


def test_a_check_may_say_that_a_restart_helps() -> None:
    health = asyncio.run(checked(_fails, live=True))
    assert not health.live
    assert not health.ready


def test_only_the_live_checks_are_asked() -> None:
    async def main() -> None:
        asked: list[str] = []
        async with ActorSystem() as system:
            system.add_health_check("one", lambda: asked.append("one"))
            system.add_health_check("two", lambda: asked.append("two"), live=True)
            health = await system.health(only_live=True)
        assert asked == ["two"]
        assert "one" not in health.checks

    asyncio.run(main())


def test_a_check_is_replaced_and_removed() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            remove_first = system.add_health_check("own", _fails)
            remove = system.add_health_check("own", _well)
            remove_first()
            assert (await system.health()).ok
            assert "own" in (await system.health()).checks
            remove()
            assert "own" not in (await system.health()).checks

    asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "fn", "options", "said"),
    [
        ("", _well, {}, "non-empty text"),
        ("loop", _well, {}, "the system's own"),
        ("own", "ping", {}, "a function, plain or async"),
        ("own", _well, {"timeout_s": 0}, "above 0"),
    ],
)
def test_what_is_no_check_is_refused(name: str, fn: Any, options: Any, said: str) -> None:
    with pytest.raises(WrongUse, match=said):
        ActorSystem().add_health_check(name, fn, **options)


def test_from_another_thread_and_another_loop() -> None:
    with ActorSystem.in_background("service") as system:
        system.add_health_check("own", _degraded)
        in_thread = system.health_blocking()
        on_loop = asyncio.run(system.health())
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(system.health_blocking) for _ in range(32)]
            many = [one.result() for one in asked]
    for health in (in_thread, on_loop, *many):
        assert health.state is CheckState.DEGRADED
        assert health.ready
    stopped = system.health_blocking()
    assert not stopped.ready
    assert stopped.live
    assert asyncio.run(system.health()).checks["system"].reason == "it stops, or has stopped"


def test_a_blocked_loop_is_told_and_not_waited_for() -> None:
    with ActorSystem.in_background("service") as system:
        blocked, until = threading.Event(), threading.Event()

        def block() -> None:
            blocked.set()
            until.wait(60)

        system.loop.call_soon_threadsafe(block)
        assert blocked.wait(120)
        try:
            in_thread = system.health_blocking(only_live=True)
            on_loop = asyncio.run(system.health())
        finally:
            until.set()
        for health in (in_thread, on_loop):
            assert not health.live
            assert not health.ready
            assert "something blocks it" in str(health.checks["loop"].reason)
        assert system.health_blocking().live


def test_on_the_loop_it_is_awaited() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            with pytest.raises(WrongUse, match=r"await system.health\(\)"):
                system.health_blocking()

    asyncio.run(main())


def test_a_system_that_has_not_begun_or_ends() -> None:
    async def main() -> None:
        system = ActorSystem("service")
        assert (await system.health()).checks["system"].reason == "it has not been started"
        async with system:
            stopping = asyncio.ensure_future(system.stop())
            await asyncio.sleep(0)
            health = await system.health()
            assert not health.ready
            assert health.live
            await stopping

    asyncio.run(main())


def test_a_root_that_gave_up_asks_for_a_restart() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            system.give_up("root", "child 'worker' failed too often")
            health = await system.health(only_live=True)
        assert not health.live
        assert "gave up" in str(health.checks["root"].reason)

    asyncio.run(main())
