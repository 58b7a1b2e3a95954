"""An `AgentSupervisor` is made, started, asked and stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pykka
import pytest

from agenticaiframework.actors import (
    Actor,
    ActorSystem,
)
from agenticaiframework.supervision import (
    AgentSupervisor,
    BadOption,
    ChildStopped,
    DuplicateChild,
    SupervisorNotRunning,
    SupervisorStartFailed,
    UnknownChild,
)

from .pools import agent, fail, pool

Run = Callable[..., Any]


def test_it_is_made_without_an_event_loop_and_wrong_options_show_at_once() -> None:
    supervisor = pool("a")
    assert [child.name for child in supervisor] == ["a"]
    for wrong, error, said in (
        (lambda: AgentSupervisor(""), BadOption, "non-empty"),
        (lambda: AgentSupervisor("x", "one_for_al"), BadOption, "one_for_all"),
        (lambda: AgentSupervisor("x", mailbox="lose"), BadOption, "keep"),  # type: ignore[arg-type]
        (lambda: AgentSupervisor("x", restart_policy=5), BadOption, "RestartPolicy"),  # type: ignore[arg-type]
        (lambda: AgentSupervisor("x", auto_shutdown="maybe"), BadOption, "maybe"),
        (lambda: supervisor.add_child("a", agent()), DuplicateChild, "'a' already"),
        (lambda: supervisor.add_child(" ", agent()), BadOption, "non-empty"),
        (lambda: supervisor.add_child("b", 5), BadOption, "'b'"),
        (lambda: supervisor.add_child("b", lambda: None), BadOption, "'b'"),
        (lambda: supervisor.add_child("b", agent(), mailbox="lose"), BadOption, "keep"),  # type: ignore[arg-type]
        (lambda: supervisor.add_child("b", agent(), restart="never"), BadOption, "never"),
        (lambda: supervisor.add_child("b", agent(), significant=True), BadOption, "auto_shutdown"),
        (lambda: supervisor.add_supervisor("b", agent()), BadOption, "not a supervisor"),  # type: ignore[arg-type]
        (lambda: supervisor.add_supervisor("me", supervisor), BadOption, "descendant"),
        (lambda: supervisor.child("aa"), UnknownChild, "Did you mean 'a'"),
    ):
        with pytest.raises(error, match=said):  # type: ignore[arg-type]
            wrong()
    assert [child.name for child in supervisor] == ["a"]


def test_a_ring_of_supervisors_is_refused() -> None:
    top, middle, low = (AgentSupervisor(name) for name in ("top", "middle", "low"))
    top.add_supervisor("middle", middle)
    middle.add_supervisor("low", low)
    with pytest.raises(BadOption, match="descendant"):
        low.add_supervisor("top", top)


# -- starting, stopping, asking ----------------------------------------------------------------


def test_several_starts_and_stops_are_harmless(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a", "b")
        await supervisor.stop()
        await asyncio.gather(supervisor.start(), supervisor.start())
        first = supervisor.ref
        assert await supervisor.start() is supervisor
        assert supervisor.ref is first
        assert await supervisor.ask("a", 1) == 1
        await asyncio.gather(supervisor.stop(), supervisor.stop())
        assert not supervisor.is_running
        assert system.actors() == []
        async with supervisor:
            assert await supervisor.ask("b", 2) == 2
        assert system.actors() == []

    in_sim(main)


def test_children_start_in_order_and_stop_in_reverse(in_sim: Run) -> None:
    log: list[str] = []

    def note_end(name: str, _reason: Any) -> None:
        log.append(f"-{name}")

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("ordered")
        for name in "abc":
            supervisor.add_child(
                name,
                agent(
                    name,
                    on_start=partial(log.append, f"+{name}"),
                    on_stop=partial(note_end, name),
                ),
            )
        await supervisor.start()
        await supervisor.stop()

    in_sim(main)
    assert log == ["+a", "+b", "+c", "-c", "-b", "-a"]


def test_unknown_names_and_supervisors_that_do_not_run_raise_at_once(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("worker")
        with pytest.raises(SupervisorNotRunning, match=r"await supervisor.start\(\)"):
            await supervisor.ask("worker", 1)
        await supervisor.start()
        with pytest.raises(UnknownChild, match="Did you mean 'worker'"):
            await supervisor.ask("wroker", 1)
        with pytest.raises(UnknownChild):
            await supervisor.remove_child("wroker")
        await supervisor.stop()
        with pytest.raises(ChildStopped):
            await supervisor.ask("worker", 1)

    in_sim(main)


def test_a_start_that_fails_is_rolled_back_and_says_which_child_and_why(in_sim: Run) -> None:
    def broken() -> None:
        raise OSError("no disk")

    async def main(system: ActorSystem) -> None:
        inner = AgentSupervisor("inner")
        inner.add_child("ok", agent("ok"))
        inner.add_child("broken", agent("broken", on_start=broken))
        outer = pool("before")
        outer.add_supervisor("inner", inner)
        with pytest.raises(SupervisorStartFailed, match="'inner/broken'.*no disk") as caught:
            await outer.start()
        assert isinstance(caught.value.__cause__, OSError)
        assert system.actors() == []
        assert not outer.is_running
        with pytest.raises(ChildStopped):
            await outer.ask("before", 1)

    in_sim(main)


def test_a_stuck_on_start_fails_the_start_after_its_time(in_sim: Run) -> None:
    async def stuck() -> None:
        await asyncio.sleep(10**6)

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("slow", start_timeout_s=3)
        supervisor.add_child("stuck", agent("stuck", on_start=stuck))
        healthy = await pool("a").start()
        starting = asyncio.ensure_future(supervisor.start())
        await asyncio.sleep(1)
        await fail(healthy, "a")
        assert await healthy.ask("a", 1) == 1
        with pytest.raises(SupervisorStartFailed, match="timeout"):
            await starting
        assert system.clock() == pytest.approx(3)

    in_sim(main)


def test_all_kinds_of_children_are_supervised(in_sim: Run) -> None:
    class Doubling(Actor):
        crash_on_ask_error = True

        def __init__(self, factor: int = 2) -> None:
            super().__init__()
            self.factor = factor

        def on_receive(self, message: Any) -> Any:
            return message * self.factor

    beats: list[float] = []

    async def heart(every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            beats.append(every_s)
            if len(beats) == 2:
                raise RuntimeError("a beat missed")

    async def main(system: ActorSystem) -> None:
        supervisor = pool("agent")
        supervisor.add_child("class", Doubling)
        supervisor.add_child("class and arguments", (Doubling, 3))
        supervisor.add_child("coroutine", (heart, 1.0))
        below = AgentSupervisor("below")
        below.add_child("x", agent("x"))
        supervisor.add_supervisor("below", below)
        await supervisor.start()
        assert await supervisor.ask("class", 21) == 42
        assert await supervisor.ask("class and arguments", 14) == 42
        assert await supervisor.ask("below/x", 42) == 42
        with pytest.raises(TypeError):
            await supervisor.ask("class", {})
        assert await supervisor.ask("class", 4) == 8
        assert supervisor.child("class").incarnation == 2
        await asyncio.sleep(4.5)
        assert len(beats) == 4
        assert supervisor.child("coroutine").restarts == 1

    in_sim(main)


def test_a_plain_pykka_actor_is_supervised() -> None:
    class Plain(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> Any:
            if message == "crash":
                raise ValueError("boom")
            return message

    async def main() -> None:
        async with ActorSystem(), AgentSupervisor("mixed") as supervisor:
            child = await supervisor.add_child("plain", Plain)
            assert await child.ask("hello") == "hello"
            ref: Any = child.ref
            ref.tell("crash")
            assert await asyncio.to_thread(ref.actor_stopped.wait, 120)
            async with asyncio.timeout(120):
                while child.incarnation < 2:
                    await asyncio.sleep(0.01)
            assert await child.ask("again", timeout=30) == "again"
            last: Any = child.ref
        assert await asyncio.to_thread(last.actor_stopped.wait, 120)
        assert not last.is_alive()

    asyncio.run(main())


def test_an_agent_is_one_actor_whoever_asks_it(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        shared = agent("shared")
        assert await shared.ask(1) == 1
        before = [ref for ref in system.actors() if ref.name == "shared"]
        supervisor = AgentSupervisor("owner")
        supervisor.add_child("renamed", shared)
        await supervisor.start()
        assert await supervisor.ask("renamed", 2) == 2
        assert await shared.ask(3) == 3
        assert [ref for ref in system.actors() if ref.name == "shared"] == before
        await fail(supervisor, "renamed")
        assert await shared.ask(4) == 4
        assert supervisor.child("renamed").restarts == 1

    in_sim(main)


def test_an_agent_cannot_belong_to_two_supervisors(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        shared = agent("shared")
        one, two = AgentSupervisor("one"), AgentSupervisor("two")
        one.add_child("a", shared)
        two.add_child("a", shared)
        await one.start()
        with pytest.raises(SupervisorStartFailed, match="already belongs to the supervisor one"):
            await two.start()
        await one.stop()
        await two.start()
        assert await two.ask("a", 1) == 1

    in_sim(main)
