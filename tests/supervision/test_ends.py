"""Ends are ends: on_stop runs once, in threads too, and a start can be stopped in order."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import Actor, ActorSystem, AgentTimeout, Mailbox, MailboxFull
from agenticaiframework.orchestration import AgentSupervisor, RestartPolicy
from agenticaiframework.supervision import (
    SupervisorStartFailed,
    WaitsForOwnStart,
)

SOON_S = 120.0


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(SOON_S):
        while not true():
            await asyncio.sleep(0.001)


class Stage:
    """An agent whose handler blocks its thread until `release`, and how it is brought to its end."""

    def __init__(self, dispatcher: str) -> None:
        self.stops: list[Any] = []
        self.begun = threading.Event()
        self.release = threading.Event()
        self.agent: Agent | None = Agent(
            "worker", handler=self.work, on_stop=self.stops.append, dispatcher=dispatcher
        )
        self.pool = AgentSupervisor("pool")
        self.asking: asyncio.Task[Any] | None = None

    def work(self, payload: str) -> str:
        if payload == "block":
            self.begun.set()
            assert self.release.wait(SOON_S)
        return payload

    async def ask_until_begun(self, limit_s: float) -> None:
        """Ask with a time limit; again, where a busy machine has let it pass before the handler began."""
        assert self.agent is not None
        while not self.begun.is_set():
            self.asking = asyncio.create_task(self.agent.ask("block", timeout=limit_s))
            while not (self.begun.is_set() or self.asking.done()):
                await asyncio.sleep(0.001)

    @property
    def ref(self) -> Any:
        assert self.agent is not None
        return self.agent.address().ref


async def _kill(stage: Stage) -> None:
    stage.ref.kill()


async def _exit(stage: Stage) -> None:
    stage.ref.exit("bye")


async def _stop(stage: Stage) -> None:
    assert stage.agent is not None
    await stage.agent.stop()


async def _stop_and_kill(stage: Stage) -> None:
    stage.ref.exit("bye")
    stage.ref.kill()


async def _drop(stage: Stage) -> None:
    stage.agent = None
    gc.collect()


async def _time_out(stage: Stage) -> None:
    assert stage.asking is not None
    with pytest.raises(AgentTimeout):
        await stage.asking


async def _stop_supervisor(stage: Stage) -> None:
    await stage.pool.stop()


async def _kill_supervisor(stage: Stage) -> None:
    stage.pool.running_ref.kill()


async def _remove(stage: Stage) -> None:
    await stage.pool.remove_child("worker")


async def _stop_system(stage: Stage) -> None:
    await stage.ref.system.stop(0.2)


ENDS: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "kill": _kill,
    "exit": _exit,
    "exit, then kill": _stop_and_kill,
    "agent.stop": _stop,
    "the agent is dropped": _drop,
    "a request times out": _time_out,
    "the supervisor stops": _stop_supervisor,
    "the supervisor is killed": _kill_supervisor,
    "the child is removed": _remove,
    "the system stops": _stop_system,
}
SUPERVISED = ("the supervisor stops", "the supervisor is killed", "the child is removed")


@pytest.mark.parametrize(
    ("end", "busy"),
    [(end, busy) for end in ENDS for busy in (False, True) if busy or end != "a request times out"],
)
@pytest.mark.parametrize("dispatcher", ["thread", "pinned"])
def test_on_stop_runs_exactly_once(dispatcher: str, busy: bool, end: str) -> None:
    async def main() -> None:
        stage = Stage(dispatcher)
        async with asyncio.timeout(SOON_S), ActorSystem(cancel_grace_s=0.05, stop_timeout_s=0.5):
            assert stage.agent is not None
            if end in SUPERVISED:
                stage.pool.add_child("worker", stage.agent)
                await stage.pool.start()
            await stage.agent.ask("begin")
            if busy:
                if end == "the agent is dropped":
                    stage.agent.tell("block")
                elif end != "a request times out":
                    stage.asking = asyncio.create_task(stage.agent.ask("block"))
                else:
                    await stage.ask_until_begun(0.5)
                await asyncio.to_thread(stage.begun.wait, SOON_S)
                if end == "the agent is dropped":
                    stage.release.set()
            await ENDS[end](stage)
            stage.release.set()
            await until(lambda: stage.stops)
            await stage.pool.stop()
            if stage.asking is not None:
                await asyncio.gather(stage.asking, return_exceptions=True)
        assert len(stage.stops) == 1

    asyncio.run(main())


@pytest.mark.parametrize("dispatcher", ["thread", "pinned"])
@pytest.mark.parametrize("how", ["exit", "timeout", "cancelled"])
def test_an_async_handler_on_a_thread_is_cancelled_at_its_await(dispatcher: str, how: str) -> None:
    seen: list[str] = []
    begun = threading.Event()

    async def work(payload: str) -> str:
        if payload == "wait":
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                seen.append("cleaned up")
        return payload

    async def main() -> None:
        agent = Agent("worker", handler=work, dispatcher=dispatcher)
        async with asyncio.timeout(SOON_S), ActorSystem() as system:
            asking = asyncio.create_task(agent.ask("wait", 0.05 if how == "timeout" else None))
            await asyncio.to_thread(begun.wait, SOON_S)
            first = agent.address().ref
            assert first is not None
            if how == "exit":
                first.exit("bye")
            elif how == "cancelled":
                asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert await agent.ask("next") == "next"
            assert seen == ["cleaned up"]
            assert first.is_alive() == (how != "exit")
            assert system.abandoned == 0

    asyncio.run(main())


def test_timers_and_piped_results_die_with_their_incarnation(in_sim: Any) -> None:
    got: list[tuple[int, Any]] = []
    starts: list[int] = []

    class Session(Actor):
        def on_start(self) -> None:
            starts.append(1)
            self.number = len(starts)
            self.send_after(0.1, ("timer", self.number))
            self.send_interval(0.15, ("tick", self.number))
            self.pipe_to(asyncio.sleep(0.1, ("piped", self.number)))

        async def on_receive(self, message: Any) -> None:
            if message == "crash":
                await asyncio.sleep(0.2)
                raise RuntimeError("broken")
            got.append((self.number, message))

    async def main(system: ActorSystem) -> None:
        async with AgentSupervisor("sessions") as pool:
            pool.add_child("session", Session)
            await pool.wait_until("session", "running")
            pool.tell("session", "crash")
            pool.tell("session", "from outside")
            await asyncio.sleep(1)
            assert [message for number, message in got if message == "from outside"]
            assert [
                pair for pair in got if pair[1] != "from outside" and pair[0] != pair[1][1]
            ] == []
            assert {("timer", 2), ("tick", 2), ("piped", 2)} <= {message for _, message in got}
            lost = [letter.message for letter in system.dead_letters]
            assert ("timer", 1) in lost
            assert ("piped", 1) in lost

    in_sim(main)


@pytest.mark.parametrize("overflow", ["fail", "drop_newest", "drop_oldest"])
@pytest.mark.parametrize("kind", ["agent", "actor"])
def test_the_mailbox_bounds_what_waits_during_a_backoff(
    in_sim: Any, kind: str, overflow: Any
) -> None:
    handled: list[Any] = []
    bound = Mailbox(3, overflow=overflow)

    async def work(payload: Any) -> None:
        if payload == "crash":
            raise RuntimeError("broken")
        handled.append(payload)

    class Worker(Actor):
        mailbox = bound

        def on_receive(self, message: Any) -> Any:
            return work(message)

    async def main(system: ActorSystem) -> None:
        policy = RestartPolicy(initial_delay_ms=1000)
        async with AgentSupervisor("pool", restart_policy=policy) as pool:
            worker = Worker if kind == "actor" else Agent("worker", handler=work, mailbox=bound)
            pool.add_child("worker", worker)
            await pool.wait_until("worker", "running")
            pool.tell("worker", "crash")
            await pool.wait_until("worker", "restarting")
            refused = 0
            for number in range(5):
                try:
                    pool.tell("worker", number)
                except MailboxFull:
                    refused += 1
            await pool.wait_until("worker", "running")
            await asyncio.sleep(0.1)
            kept = [2, 3, 4] if overflow == "drop_oldest" else [0, 1, 2]
            assert handled == kept
            assert refused == (2 if overflow == "fail" else 0)
            assert len(system.dead_letters) == 1 + 2 - refused

    in_sim(main)


class Diary:
    """Three agents that write down their starts and stops; the last one does not finish its start."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.hanging = asyncio.Event()
        self.pool = AgentSupervisor("pool")
        for name in ("a", "b", "c"):
            self.pool.add_child(name, self._agent(name))

    def _agent(self, name: str) -> Agent:
        async def start() -> None:
            if name == "c":
                self.hanging.set()
                await asyncio.Event().wait()
            self.entries.append(f"{name} starts")

        async def stop() -> None:
            self.entries.append(f"{name} stops")
            await asyncio.sleep(0.01)
            self.entries.append(f"{name} has stopped")

        async def handle(payload: Any) -> Any:
            return payload

        return Agent(name, handler=handle, on_start=start, on_stop=stop)


IN_ORDER = ["a starts", "b starts", "b stops", "b has stopped", "a stops", "a has stopped"]


@pytest.mark.parametrize("how", ["supervisor.stop", "system.stop", "signal"])
def test_a_start_that_is_stopped_is_undone_in_order(how: str) -> None:
    async def main() -> None:
        diary = Diary()
        async with asyncio.timeout(SOON_S), ActorSystem() as system:
            starting = asyncio.create_task(diary.pool.start())
            await diary.hanging.wait()
            if how == "supervisor.stop":
                await diary.pool.stop()
            elif how == "system.stop":
                await system.stop()
            else:
                waiting = asyncio.create_task(system.until_signal())
                await asyncio.sleep(0)
                os.kill(os.getpid(), signal.SIGTERM)
                await waiting
            [outcome] = await asyncio.gather(starting, return_exceptions=True)
        assert diary.entries == IN_ORDER
        assert isinstance(outcome, SupervisorStartFailed)

    asyncio.run(main())


def test_a_suspended_supervisor_stops(in_sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        root, pool = AgentSupervisor("root"), AgentSupervisor("pool")
        root.add_supervisor("pool", pool)
        await root.start()
        for stopped in (pool, root):
            system.suspend(stopped.running_ref)
            async with asyncio.timeout(10):
                await stopped.stop()
            assert not stopped.is_running

    in_sim(main)


@pytest.mark.parametrize("waits", ["sibling", "itself", "wait_until", "restart_child", "start"])
def test_an_on_start_that_waits_for_its_supervisor_is_told_so(in_sim: Any, waits: str) -> None:
    async def main(system: ActorSystem) -> None:
        pool = AgentSupervisor("pool")

        async def start() -> None:
            match waits:
                case "sibling":
                    await pool.ask("later", 1)
                case "itself":
                    await pool.ask("first", 1)
                case "wait_until":
                    await pool.wait_until("first", "running")
                case "restart_child":
                    await pool.restart_child("later")
                case _:
                    await pool.start()

        async def handle(payload: Any) -> Any:
            return payload

        pool.add_child("first", Agent("first", handler=handle, on_start=start))
        pool.add_child("later", Agent("later", handler=handle))
        before = system.clock()
        with pytest.raises(SupervisorStartFailed, match="first") as failed:
            await pool.start()
        assert isinstance(failed.value.__cause__, WaitsForOwnStart)
        assert system.clock() - before < 1

    in_sim(main)
