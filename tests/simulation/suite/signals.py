"""Links, monitors, trapping and exit signals, held against a model of Erlang's rules.

Actors do at random what a driver tells them, under random orders and faults. The model is kept by
the moments at which things are decided: a link or a monitor when the handler makes it, an end when
the kernel's hook sees it. What must come of each end is then known exactly, whatever the order.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from agenticaiframework.actors import Actor, ActorRef, Down, Exit, Monitor
from agenticaiframework.actors.simulation import Simulation

from .calm import until_calm

ACTORS = 5
COMMANDS = 40


class Model:
    """The links, the monitors, and what each end must have caused."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.links: dict[ActorRef[Any], set[int]] = {}
        self.refs: dict[int, ActorRef[Any]] = {}
        self.trapping: dict[int, bool] = {}
        self.dead: dict[int, Any] = {}
        #: (receiver, sender, reason) of exit messages that must arrive, unless the receiver ends.
        self.exits_due: list[tuple[int, int, Any]] = []
        self.must_die: list[tuple[int, int, Any]] = []
        self.exits_seen: list[tuple[int, int, Any]] = []
        self.watches: list[Watch] = []
        #: Reasons for which each actor may end.
        self.causes: dict[int, list[Any]] = {}
        self.stopping = False

    def born(self, ref: ActorRef[Any]) -> None:
        self.refs[ref.pid] = ref
        self.links[ref] = set()

    def link(self, one: ActorRef[Any], other: ActorRef[Any]) -> None:
        if one is other:
            return
        if other.pid in self.dead:
            self._signal(one.pid, other.pid, "noproc")
            return
        self.links[one].add(other.pid)
        self.links[other].add(one.pid)

    def unlink(self, one: ActorRef[Any], other: ActorRef[Any]) -> None:
        self.links[one].discard(other.pid)
        self.links[other].discard(one.pid)

    def signal(self, one: ActorRef[Any], other: ActorRef[Any], reason: Any) -> None:
        if other.pid in self.dead:
            return
        if reason == "kill":
            self.must_die.append((other.pid, one.pid, "killed"))
        elif self.trapping.get(other.pid):
            self.exits_due.append((other.pid, one.pid, reason))
        elif reason != "normal" or one is other:
            self.must_die.append((other.pid, one.pid, reason))

    def ended(self, ref: ActorRef[Any], reason: Any) -> None:
        if ref not in self.links or ref.pid in self.dead:
            return
        self._check_cause(ref, reason)
        self.dead[ref.pid] = reason
        for pid in sorted(self.links[ref]):
            other = self.refs[pid]
            self.links[other].discard(ref.pid)
            if pid not in self.dead:
                self._signal(pid, ref.pid, reason)
        self.links[ref] = set()

    def may_end(self, ref: ActorRef[Any], reason: Any) -> None:
        self.causes.setdefault(ref.pid, []).append(reason)

    def _check_cause(self, ref: ActorRef[Any], reason: Any) -> None:
        label = self.sim.labels.of(ref)
        known = self.causes.get(ref.pid, [])
        known = known + [r for pid, _, r in self.must_die if pid == ref.pid]
        if self.stopping or any(landed.where == label for landed in self.sim.injector.landed):
            return
        if any(one is reason or one == reason for one in known):
            return
        crashed = isinstance(reason, RuntimeError) and "crash" in known
        self.sim.expect(crashed, "no actor ends without a cause", f"{label} ended with {reason!r}")

    def _signal(self, pid: int, sender: int, reason: Any) -> None:
        if self.trapping.get(pid):
            self.exits_due.append((pid, sender, reason))
        elif reason != "normal":
            self.must_die.append((pid, sender, reason))

    def check(self) -> None:
        sim = self.sim
        names = {pid: sim.labels.of(ref) for pid, ref in self.refs.items()}
        for pid, sender, reason in self.must_die:
            sim.expect(
                pid in self.dead,
                "a link takes its other end down",
                f"{names[pid]} outlives {names[sender]}, which ended with {reason!r}",
            )
        due = list(self.exits_due)
        for seen in self.exits_seen:
            if seen in due:
                due.remove(seen)
            else:
                sim.violation(
                    "an exit message has a cause", f"{names[seen[0]]} got {seen[2]!r} for nothing"
                )
        for pid, sender, reason in due:
            sim.expect(
                pid in self.dead,
                "an actor that traps exits is told of each",
                f"{names[pid]} did not hear that {names[sender]} ended with {reason!r}",
            )
        for watch in self.watches:
            pid = watch.watcher
            if pid in self.dead:
                continue
            owed = watch.target in self.dead
            wanted = ["noproc" if watch.dead_before else self.dead[watch.target]] if owed else []
            if watch.undone:
                # A down that had been handled before it was undone is all right, a later one not.
                wanted = watch.seen_before
            sim.expect(
                watch.seen == wanted,
                "each monitor brings one down",
                f"{names[pid]} watching {names[watch.target]} saw {watch.seen!r}, not {wanted!r}",
            )


@dataclass(slots=True)
class Watch:
    """One monitor as the model knows it."""

    watcher: int
    target: int
    dead_before: bool
    monitor: Monitor
    seen: list[Any] = field(default_factory=list[Any])
    undone: bool = False
    seen_before: list[Any] = field(default_factory=list[Any])


class Node(Actor):
    """Does as it is told, and tells the model."""

    def __init__(self, model: Model, asynchronous: bool) -> None:
        super().__init__()
        self.model = model
        self.asynchronous = asynchronous
        self.made: list[Watch] = []

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, tuple) and self.asynchronous and message[0] != "work":
            return self.later(message)
        return self.do(message)

    async def later(self, message: Any) -> Any:
        await asyncio.sleep(0 if message[0] in ("link", "monitor") else 0.01)
        return self.do(message)

    def do(self, message: Any) -> Any:
        model, ref, pid = self.model, self.actor_ref, self.actor_ref.pid
        if pid in model.dead:
            return self.do_after_the_end(message)
        match message:
            case Exit(sender, reason):
                if sender is not None and sender.pid in model.refs:
                    model.exits_seen.append((pid, sender.pid, reason))
            case Down(_, reason, monitor):
                for watch in model.watches:
                    if watch.monitor is monitor:
                        watch.seen.append(reason)
            case ("link", other):
                model.link(ref, other)
                self.link(other)
            case ("unlink", other):
                model.unlink(ref, other)
                self.unlink(other)
            case ("monitor", other):
                dead = other.pid in model.dead
                watch = Watch(pid, other.pid, dead, self.monitor(other))
                self.made.append(watch)
                model.watches.append(watch)
            case ("demonitor",):
                if self.made:
                    watch = self.made.pop(0)
                    watch.undone = True
                    watch.seen_before = list(watch.seen)
                    self.demonitor(watch.monitor)
            case ("trap", value):
                self.trap_exit = value
                model.trapping[pid] = value
            case ("exit", reason):
                model.may_end(ref, reason)
                self.exit(reason)
            case ("crash", text):
                model.may_end(ref, "crash")
                raise RuntimeError(text)
            case ("signal", other, reason):
                model.signal(ref, other, reason)
                other.exit(reason)
            case _:
                return message
        return None

    def do_after_the_end(self, message: Any) -> None:
        """What a handler does that was left behind, for it would not stop, has no effect."""
        match message:
            case ("signal", other, reason):
                other.exit(reason)
            case ("link", other):
                self.link(other)
            case _:
                pass


async def signals(sim: Simulation) -> None:
    """Random links, monitors, traps, exits and crashes among a few actors."""
    rng = sim.random
    model = Model(sim)
    sim.system.on_actor_end(model.ended)
    refs: list[ActorRef[Any]] = []
    for number in range(ACTORS):
        ref = sim.system.start(Node, model, rng.random() < 0.3, _name=f"node{number}")
        model.born(ref)
        refs.append(ref)
    for _ in range(COMMANDS):
        actor, other = rng.choice(refs), rng.choice(refs)
        command: tuple[Any, ...] = rng.choices(
            [
                ("link", other),
                ("unlink", other),
                ("monitor", other),
                ("demonitor",),
                ("trap", rng.random() < 0.6),
                ("exit", rng.choice(["normal", "shutdown", "oops"])),
                ("crash", "boom"),
                ("signal", other, rng.choice(["normal", "kill", "shutdown", "stop"])),
                ("work",),
            ],
            weights=[8, 3, 6, 2, 5, 1, 1, 1, 6],
        )[0]
        if actor.is_alive():
            actor.tell(command)
        if rng.random() < 0.2:
            await asyncio.sleep(rng.choice([0, 0.005, 0.5]))
    # Longer than any delay that a fault brings, so that all that was sent has been handled.
    await asyncio.sleep(20_000)
    await until_calm(sim, 10_000)
    model.check()
    model.stopping = True
