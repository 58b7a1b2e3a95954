"""Tells, asks, deferred answers, stashes, selective receive, timers and bounded mailboxes."""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorRef,
    CallingSelf,
    Mailbox,
    MailboxFull,
    Request,
    RequestTimeout,
    gather,
)
from agenticaiframework.actors.simulation import InjectedCrash, Simulation, Violation


class Book:
    """What each sender sent to each receiver, and what the receiver handled."""

    def __init__(self) -> None:
        self.handled: dict[str, list[tuple[str, int]]] = {}
        self.told: dict[int, str] = {}
        #: Answers out of a gather that are none.
        self.gathered: list[tuple[int, Any]] = []


_FAILURES = (ActorDied, RequestTimeout, InjectedCrash, MailboxFull, CallingSelf)


class Worker(Actor):
    """Handles numbered messages in one of several ways."""

    crash_on_ask_error = True

    def __init__(self, book: Book, name: str, peers: list[ActorRef[Any]]) -> None:
        super().__init__()
        self.book = book
        self.name = name
        self.peers = peers
        self.stashed: set[int] = set()

    def on_stop(self) -> None:
        self.book.handled.setdefault(self.name, []).append(("stopped", 0))

    async def on_receive(self, message: Any) -> Any:
        sender, number, how = message
        if how == "stash" and number not in self.stashed and self.current_request is None:
            self.stashed.add(number)
            self.stash()
            self.send_after(0.5, (sender, -number, "unstash"))
            return None
        if how == "unstash":
            self.unstash_all()
            return None
        self.book.handled.setdefault(self.name, []).append((sender, number))
        if how == "sleep":
            await asyncio.sleep(0.01)
        elif how == "forward" and number > 0:
            for peer in self.peers:
                if peer.is_alive() and peer is not self.actor_ref:
                    peer.tell((self.name, 0, "plain"))
                    break
        elif how == "ask" and self.peers:
            target = self.peers[number % len(self.peers)]
            if target is not self.actor_ref:
                try:
                    return await target.request((self.name, number, "sleep"), timeout=0.5)
                except _FAILURES:
                    return number
        elif how == "defer" and self.current_request is not None:
            request = self.defer_reply()
            self.system.call_later(2, request.reply, number)
        elif how == "gather":
            requests = [
                peer.request((self.name, number, "sleep"), timeout=0.5)
                for peer in self.peers
                if peer is not self.actor_ref
            ]
            if requests:
                answers = await gather(*requests, return_exceptions=True)
                self.book.gathered += [
                    (number, answer)
                    for answer in answers
                    if answer != number and not isinstance(answer, _FAILURES)
                ]
        return number


WAYS = ("plain", "sleep", "forward", "ask", "defer", "gather", "stash")


async def messages(sim: Simulation) -> None:
    """A few workers that tell and ask one another; every ask ends, and ends right."""
    rng = sim.random
    book = Book()
    sim.data["book"] = book
    peers: list[ActorRef[Any]] = []
    for number in range(4):
        peers.append(sim.system.start(Worker, book, f"w{number}", peers, _name=f"w{number}"))
    asks: list[tuple[int, Request, str]] = []
    for number in range(1, 25):
        target = rng.choice(peers)
        how = rng.choice(WAYS)
        if not target.is_alive():
            continue
        if rng.random() < 0.6:
            asks.append((number, target.request(("driver", number, how), timeout=20), how))
        else:
            target.tell(("driver", number, how))
            book.told[number] = how
        if rng.random() < 0.2:
            await asyncio.sleep(rng.choice([0, 0.01, 1]))
    for number, request, how in asks:
        outcome = await sim.attempt(request)
        garbled = any(landed.fault.kind == "garbage" for landed in sim.injector.landed)
        if outcome.ok and how != "stash" and not garbled:
            sim.expect(
                outcome.value == number,
                "the answer is that to the question",
                f"asked {number}, got {outcome.value!r}",
            )
        if not outcome.ok:
            sim.expect(
                isinstance(outcome.error, ActorDied | RequestTimeout | InjectedCrash | CallingSelf),
                "an ask fails with what it says",
                repr(outcome.error),
            )
            if isinstance(outcome.error, RequestTimeout):
                sim.expect(
                    any(landed.fault.kind in _SLOW for landed in sim.injector.landed),
                    "an ask is not late without a reason",
                    f"{how} {number}",
                )
    if not any(landed.fault.kind == "garbage" for landed in sim.injector.landed):
        sim.expect(not book.gathered, "gather waits for every answer", f"{book.gathered}")
    for name, handled in book.handled.items():
        stops = handled.count(("stopped", 0))
        sim.expect(stops <= 1, "on_stop runs once", f"{name} stopped {stops} times")


def told_messages_are_accounted_for(sim: Simulation) -> list[Violation]:
    """Whatever the driver told was handled, or is a dead letter."""
    book: Book | None = sim.data.get("book")
    if book is None:
        return []
    handled = {
        number for seen in book.handled.values() for sender, number in seen if sender == "driver"
    }
    dead = {message[1] for message in sim.observer.dead.values() if isinstance(message, tuple)}
    return [
        Violation("no told message vanishes", f"{number} ({how}) is nowhere", sim.time())
        for number, how in book.told.items()
        if number not in handled and number not in dead
    ]


_SLOW = {
    "hang", "slow", "late_answer", "swallow_cancel", "block_loop", "clock_skew", "fill_mailbox",
}  # fmt: skip


class Gate(Actor):
    """Puts aside what comes while it is shut, and handles it in order once it opens."""

    def __init__(self, got: list[int]) -> None:
        super().__init__()
        self.got = got
        self.is_open = False

    def on_receive(self, message: Any) -> None:
        if message == "open":
            self.is_open = True
            self.unstash_all()
        elif message == "become":
            self.become(self.other)
        elif not self.is_open:
            self.stash()
        else:
            self.got.append(message)

    def other(self, message: Any) -> None:
        if message == "unbecome":
            self.become(None)
        elif message == "take":
            self.got += self.flush(lambda item: isinstance(item, int) and item % 2 == 0)
        elif isinstance(message, int):
            self.got.append(message)


async def stashing(sim: Simulation) -> None:
    """What was put aside, or left in the mailbox by selective receive, keeps its order."""
    rng = sim.random
    got: list[int] = []
    gate = sim.system.start(Gate, got, _name="gate")

    def tell(message: Any) -> None:
        if gate.is_alive():
            gate.tell(message)

    sent = 0
    for _ in range(rng.randint(1, 4)):
        tell(sent)
        sent += 1
    if rng.random() < 0.5:
        await asyncio.sleep(0.01)
    tell("open")
    for _ in range(rng.randint(0, 3)):
        tell(sent)
        sent += 1
    await asyncio.sleep(1)
    if sim.landed or not gate.is_alive():
        return
    sim.expect(got == list(range(sent)), "a stash keeps the order", f"{got}")
    got.clear()
    tell("become")
    tell("take")
    for number in range(6):
        tell(number)
    await asyncio.sleep(1)
    if sim.landed or not gate.is_alive():
        return
    odd, even = [n for n in got if n % 2], [n for n in got if n % 2 == 0]
    sim.expect(
        odd == sorted(odd) and even == sorted(even) and len(got) == 6,
        "selective receive keeps the order",
        f"{got}",
    )


class Small(Actor):
    """A worker with a small mailbox that takes its time."""

    def __init__(self, got: list[int]) -> None:
        super().__init__()
        self.got = got

    async def on_receive(self, message: Any) -> int:
        await asyncio.sleep(0.01)
        self.got.append(message)
        return int(message)


def _small(overflow: Any) -> type[Small]:
    return type(f"Small_{overflow}", (Small,), {"mailbox": Mailbox(3, overflow=overflow)})


SMALL = {how: _small(how) for how in ("fail", "drop_newest", "drop_oldest", "backpressure")}


async def bounded_mailboxes(sim: Simulation) -> None:
    """Each overflow policy does what it declares, and nothing else."""
    rng = sim.random
    for how, wanted in (("drop_oldest", [5, 6, 7]), ("drop_newest", [0, 1, 2])):
        kept: list[int] = []
        burst = sim.system.start(SMALL[how], kept, _name=f"burst {how}")
        for number in range(8):
            burst.tell(number)
        await asyncio.sleep(1)
        if not sim.landed and burst.is_alive():
            sim.expect(kept == wanted, f"{how} keeps the right ones", f"{kept}")
    sent = 12
    for how, cls in SMALL.items():
        got: list[int] = []
        ref = sim.system.start(cls, got, _name=how)
        refused = 0
        lost_before = sim.system.dead_letters.count
        for number in range(sent):
            try:
                if how == "backpressure":
                    async with asyncio.timeout(5):
                        await ref.send(number)
                else:
                    ref.tell(number)
            except (MailboxFull, ActorDied, TimeoutError):
                refused += 1
            if not sim.landed:
                length = sim.system.info(ref).mailbox_length
                sim.expect(length <= 3, "a mailbox holds what it may", f"{how}: {length} of 3")
            if rng.random() < 0.2:
                await asyncio.sleep(0.01)
        await asyncio.sleep(5)
        lost = sim.system.dead_letters.count - lost_before
        if sim.landed or not ref.is_alive():
            continue
        sim.expect(
            len(got) + refused + lost == sent, "a full mailbox counts",
            f"{how}: {len(got)} handled, {refused} refused, {lost} lost of {sent}",
        )  # fmt: skip
        sim.expect(got == sorted(got), "a full mailbox keeps the order", f"{how}: {got}")
        if how == "backpressure":
            sim.expect(len(got) == sent, "backpressure loses nothing", f"{got}")
        if how == "fail":
            sim.expect(lost == 0, "fail refuses instead of dropping", f"{lost} lost")
        if how == "drop_oldest":
            sim.expect(sent - 1 in got, "drop_oldest keeps the newest", f"{got}")
        if how == "drop_newest":
            sim.expect(0 in got, "drop_newest keeps the oldest", f"{got}")


class Ticker(Actor):
    """Timers: once, again and again, and after silence."""

    def __init__(self, ticks: list[tuple[float, Any]]) -> None:
        super().__init__()
        self.ticks = ticks

    def on_start(self) -> None:
        self.send_after(1.5, "once")
        self.send_interval(1.0, "tick")

    def on_receive(self, message: Any) -> None:
        self.ticks.append((self.system.clock(), message))


async def timers(sim: Simulation) -> None:
    """Timers fire when they are due, and not after their actor's end."""
    ticks: list[tuple[float, Any]] = []
    ref = sim.system.start(Ticker, ticks, _name="ticker")
    await asyncio.sleep(4.5)
    ref.exit("shutdown")
    ended = sim.time()
    await asyncio.sleep(5)
    late = [time for time, _ in ticks if time > ended]
    sim.expect(not late or sim.landed, "timers die with their actor", f"ticks at {late}")
    if not sim.landed:
        sim.expect(
            ticks == [(1, "tick"), (1.5, "once"), (2, "tick"), (3, "tick"), (4, "tick")],
            "timers are on time", f"{ticks}",
        )  # fmt: skip
