"""Ends: whatever an actor is doing, it ends in time, for the right reason, with its last hook run."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from agenticaiframework.actors import Actor, ActorDied, ActorRef, RequestTimeout
from agenticaiframework.actors.simulation import InjectedCrash, Simulation

GRACE_S = 5.0


class Diary:
    """What the last hooks of the actors said."""

    def __init__(self) -> None:
        self.stops: dict[str, list[Any]] = {}
        self.leaked: list[str] = []


async def whatever_comes(request: Any) -> None:
    """Await *request*, whatever comes of it."""
    try:
        await request
    except (ActorDied, RequestTimeout, InjectedCrash):
        pass


class Lingering(Actor):
    """Never finishes saying goodbye."""

    async def on_stop(self) -> None:
        await asyncio.sleep(1e9)

    async def on_receive(self, message: Any) -> None:
        # Trapping exits, it is asked to end and not cancelled: only a kill gets it out of here.
        self.trap_exit = True
        await asyncio.sleep(1e9)


class Busy(Actor):
    """Is at work in some way when its end comes."""

    def __init__(self, diary: Diary, name: str, sink: ActorRef[Any]) -> None:
        super().__init__()
        self.diary = diary
        self.name = name
        self.sink = sink
        self.ended = False

    def on_stop(self) -> None:
        self.ended = True
        self.diary.stops.setdefault(self.name, []).append(self.exit_reason)

    async def on_receive(self, message: Any) -> Any:
        if message == "sleep":
            await asyncio.sleep(1000)
        elif message == "tidy":
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(2)
        elif message == "stubborn":
            until = self.system.clock() + 100
            while self.system.clock() < until:
                try:
                    await asyncio.sleep(until - self.system.clock())
                except asyncio.CancelledError:
                    if self.ended:
                        self.sink.tell(self.name)  # after its end: this must not arrive
        elif message == "ask":
            await whatever_comes(self.sink.request("never", timeout=400))
        elif message == "group":
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(asyncio.sleep(1000))
        elif message == "defer" and self.current_request is not None:
            self.defer_reply()
        return message


class Threaded(Busy):
    """Works in a thread, where nothing can be cancelled."""

    dispatcher = "thread"

    def on_receive(self, message: Any) -> Any:  # type: ignore[override]
        time.sleep(3)
        return message


class Sink(Actor):
    """Hears what the dead must not say, and never answers."""

    def __init__(self, diary: Diary) -> None:
        super().__init__()
        self.diary = diary

    async def on_receive(self, message: Any) -> Any:
        if message == "never":
            self.defer_reply()
        else:
            self.diary.leaked.append(message)


WORK = ("", "sleep", "tidy", "stubborn", "ask", "group", "defer", "thread")
ENDS = ("exit", "kill", "stop")


async def ends(sim: Simulation) -> None:
    """Every kind of work is ended in every way."""
    rng = sim.random
    diary = Diary()
    for _ in range(rng.choice([0, 0, 2])):
        Lingering.start().tell(rng.random())
    sink = sim.system.start(Sink, diary, _name="sink")
    started: list[tuple[str, str, str, ActorRef[Any], Any]] = []
    for number in range(6):
        work = rng.choice(WORK)
        how = rng.choice(ENDS)
        name = f"busy{number}"
        cls = Threaded if work == "thread" else Busy
        ref = sim.system.start(cls, diary, name, sink, _name=name)
        request = None
        if work:
            if rng.random() < 0.5:
                request = ref.request(work, timeout=500)
            else:
                ref.tell(work)
        started.append((name, work, how, ref, request))
    await asyncio.sleep(rng.choice([0, 0.5, 1]))
    hit = {landed.where for landed in sim.injector.landed}
    told_at = sim.time()
    for _, _, how, ref, _ in started:
        if not ref.is_alive():
            continue
        if how == "exit":
            ref.exit("enough")
        elif how == "kill":
            ref.kill()
        else:
            ref.stop(block=False)
    for name, work, how, ref, request in started:
        # `stop` is a message: it comes after the work, which is not cut short.
        patience = {"exit": GRACE_S + 1, "kill": 1.0, "stop": 1200.0}[how]
        if work == "thread":
            patience += 5
        ended = await sim.system.wait_ended(ref, max(0.0, told_at + patience - sim.time()))
        hit |= {landed.where for landed in sim.injector.landed}
        if hit & {name, "clock"} or any(f.fault.kind == "block_loop" for f in sim.injector.landed):
            continue
        sim.expect(ended, "an end comes in time", f"{how} of {name} ({work or 'idle'})")
        if ended:
            reason = {"exit": "enough", "kill": "killed", "stop": "normal"}[how]
            sim.expect(
                ref.exit_reason == reason, "an end has its reason", f"{how}: {ref.exit_reason!r}"
            )
            if any(fault.kind == "fail_start" for fault in sim.plan.faults):
                continue  # one that has not started has no last hook
            stops = diary.stops.get(name, [])
            sim.expect(stops == [reason], "on_stop runs once, with the reason", f"{name}: {stops}")
        if request is not None:
            outcome = await sim.attempt(request)
            sim.expect(
                outcome.ok or isinstance(outcome.error, ActorDied | RequestTimeout | InjectedCrash),
                "an ask fails with what it says", repr(outcome.error),
            )  # fmt: skip
            if how != "stop" and not outcome.ok:
                sim.expect(
                    not isinstance(outcome.error, RequestTimeout),
                    "an asker of the dead learns of it at once", f"{how} of {work}",
                )  # fmt: skip
    await asyncio.sleep(300)
    sim.expect(not diary.leaked, "an abandoned handler is fenced off", f"{diary.leaked} spoke")
