"""The kernel against the model of Erlang's processes, over random sequences of operations."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from puppets import PUPPETS, Crash
from signal_rules import Processes

from agenticaiframework.actors import ActorRef, ActorSystem, Down, Exit, Monitor
from agenticaiframework.actors.kernel.link_table import links_of
from agenticaiframework.actors.simulation import SimLoop

REASONS = ["normal", "shutdown", ("shutdown", "x"), "kill", "killed", "noproc", "boom", 42]

MOST = 7

numbers = st.integers(0, MOST - 1)
places = st.integers(0, 1)
kinds = st.sampled_from(["event_loop", "event_loop", "thread"])
reasons = st.sampled_from(REASONS)


class Signals(RuleBasedStateMachine):
    """Every step is one operation, run until nothing moves any more in virtual time."""

    @initialize(
        seed=st.none() | st.integers(0, 99),
        systems=st.integers(1, 2),
        first=st.lists(st.tuples(places, kinds, st.booleans()), min_size=2, max_size=5),
    )
    def begin(self, seed: int | None, systems: int, first: list[tuple[int, str, bool]]) -> None:
        self.loop = SimLoop(seed=seed)
        self.model = Processes()
        self.refs: list[ActorRef[Any]] = []
        self.pids: dict[Any, int] = {}
        self.puppets: list[Any] = []
        self.monitors: dict[int, Monitor] = {}
        self.systems = [ActorSystem(f"s{n}", seed=n) for n in range(systems)]
        self.run(self.enter())
        for place, kind, trap in first:
            self.spawn(place, kind, trap)

    async def enter(self) -> None:
        for system in self.systems:
            await system.__aenter__()
        for system in reversed(self.systems):
            # Which system a puppet is started in is this test's choice, not the context's.
            assert system.running

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def settled() -> Any:
            result = await work
            await asyncio.sleep(0.001)
            return result

        return self.loop.run_until_complete(settled())

    def live(self, wanted: int) -> int | None:
        """Return the live process that *wanted* stands for, if any lives."""
        alive = [n for n, p in self.model.all.items() if p.alive]
        return alive[wanted % len(alive)] if alive else None

    def any(self, wanted: int) -> int | None:
        return wanted % len(self.refs) if self.refs else None

    def adopt(self, ref: ActorRef[Any], actor: Any) -> None:
        self.pids[ref] = len(self.refs)
        self.refs.append(ref)
        self.puppets.append(actor)

    # -- operations ----------------------------------------------------------------------------

    @precondition(lambda self: len(self.refs) < MOST)
    @rule(place=places, kind=kinds, trap=st.booleans())
    def start(self, place: int, kind: str, trap: bool) -> None:
        self.spawn(place, kind, trap)

    def spawn(self, place: int, kind: str, trap: bool) -> None:
        async def op() -> None:
            system = self.systems[place % len(self.systems)]
            ref = system.start(PUPPETS[kind], trap=trap)
            self.adopt(ref, ref._actor)

        self.run(op())
        self.model.set_trap(self.model.spawn(), trap)

    @precondition(lambda self: len(self.refs) < MOST)
    @rule(a=numbers, kind=kinds, trap=st.booleans())
    def spawn_link(self, a: int, kind: str, trap: bool) -> None:
        parent = self.live(a)
        if parent is None:
            return

        async def op() -> None:
            ref = self.puppets[parent].spawn(PUPPETS[kind], trap=trap)
            self.adopt(ref, ref._actor)

        self.run(op())
        self.model.set_trap(self.model.spawn(parent), trap)

    @rule(a=numbers, b=numbers)
    def link(self, a: int, b: int) -> None:
        one, other = self.live(a), self.any(b)
        if one is not None and other is not None:
            self.run(self.call(self.puppets[one].link, self.refs[other]))
            self.model.link(one, other)

    @rule(a=numbers, b=numbers)
    def unlink(self, a: int, b: int) -> None:
        one, other = self.live(a), self.any(b)
        if one is not None and other is not None:
            self.run(self.call(self.puppets[one].unlink, self.refs[other]))
            self.model.unlink(one, other)

    @rule(a=numbers, b=numbers)
    def monitor(self, a: int, b: int) -> None:
        one, other = self.live(a), self.any(b)
        if one is not None and other is not None:
            made = self.run(self.call(self.puppets[one].monitor, self.refs[other]))
            self.monitors[self.model.monitor(one, other)] = made

    @rule(data=st.data(), flush=st.booleans())
    def demonitor(self, data: st.DataObject, flush: bool) -> None:
        usable = [n for n, m in self.monitors.items() if m.watcher._actor is not None]
        if usable:
            number = data.draw(st.sampled_from(usable))
            watcher = self.pids[self.monitors[number].watcher]
            work = self.puppets[watcher].demonitor(self.monitors[number], flush=flush)
            assert work is None
            self.run(self.call(lambda: None))
            self.model.demonitor(watcher, number, flush)

    @rule(a=numbers, trap=st.booleans())
    def set_trap(self, a: int, trap: bool) -> None:
        one = self.live(a)
        if one is not None:
            self.puppets[one].trap_exit = trap
            self.model.set_trap(one, trap)

    @rule(a=st.none() | numbers, b=numbers, reason=reasons)
    def send_exit(self, a: int | None, b: int, reason: Any) -> None:
        """From inside a handler, so that the signal has a sender, or from outside of any."""
        one, other = None if a is None else self.live(a), self.any(b)
        if other is None or (one is not None and self.model.all[one].held):
            return
        target = self.refs[other]
        if one is None:
            self.run(self.call(target.exit, reason))
        else:
            self.run(self.call(self.refs[one].tell, lambda _puppet: target.exit(reason)))
        self.model.send_exit(one, other, reason)

    @rule(a=numbers, reason=reasons, crashes=st.booleans())
    def end(self, a: int, reason: Any, crashes: bool) -> None:
        one = self.live(a)
        if one is None or self.model.all[one].held:
            return
        error = Crash("told to")

        def act(puppet: Any) -> None:
            if crashes:
                raise error
            puppet.exit(reason)

        self.run(self.call(self.refs[one].tell, act))
        self.model.exit(one, error if crashes else reason)

    @rule(a=numbers, held=st.booleans())
    def hold(self, a: int, held: bool) -> None:
        one = self.live(a)
        if one is not None:
            system = self.refs[one].system
            assert system is not None
            self.run(self.call(system.suspend if held else system.resume, self.refs[one]))
            self.model.hold(one, held)

    async def call(self, fn: Any, *args: Any) -> Any:
        return fn(*args)

    # -- what must agree -----------------------------------------------------------------------

    @invariant()
    def the_same_live_and_for_the_same_reasons(self) -> None:
        for number, process in getattr(self, "model", Processes()).all.items():
            ref = self.refs[number]
            assert ref.is_alive() == process.alive, (number, ref.exit_reason, process)
            assert ref.exit_reason == process.reason, number

    @invariant()
    def the_same_links_and_monitors(self) -> None:
        for number, process in getattr(self, "model", Processes()).all.items():
            cell = self.refs[number]
            if cell.ended:
                continue
            assert {self.pids[r] for r in links_of(cell)} == process.links, number
            watched_by = sorted(self.pids[m.watcher] for m in (cell._watchers or ()))
            assert watched_by == sorted(process.watched_by.values()), number
            mine = (cell._ext.monitors if cell._ext is not None else None) or ()
            assert sorted(self.pids[m.target] for m in mine) == sorted(process.watching.values())

    @invariant()
    def the_same_messages_in_the_order_of_each_sender(self) -> None:
        for number, process in getattr(self, "model", Processes()).all.items():
            cell = self.refs[number]
            if cell.ended:
                continue  # what reached it together with its end it may or may not have handled
            assert self.by_sender(self.puppets[number].seen) == _by_sender(process.seen), number
            assert self.by_sender(cell._mailbox or ()) == _by_sender(process.inbox), number

    def by_sender(self, messages: Any) -> dict[Any, list[Any]]:
        told: list[tuple[Any, ...]] = []
        number = {id(m): n for n, m in self.monitors.items()}
        for message in messages:
            if isinstance(message, Exit):
                sender = None if message.ref is None else self.pids[message.ref]
                told.append(("exit", sender, message.reason))
            elif isinstance(message, Down):
                told.append(
                    (
                        "down",
                        self.pids[message.ref],
                        message.reason,
                        number.get(id(message.monitor)),
                    )
                )
        return _by_sender(told)

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        reports = [self.run(system.stop(5.0)) for system in self.systems]
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        assert all(report.clean for report in reports), reports
        assert not any(ref.is_alive() for ref in self.refs)


def _by_sender(messages: Any) -> dict[Any, list[Any]]:
    """Only between two processes is there an order, so that is what is compared."""
    found: defaultdict[Any, list[Any]] = defaultdict(list)
    for message in messages:
        found[message[1]].append(message)
    # The downs of one target, for several monitors, leave it together.
    return {k: sorted(v, key=repr) if k is not None else v for k, v in found.items()}


def test_links_monitors_and_exits_are_those_of_erlang(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="pykka")  # every crash of a puppet is logged there
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Signals, settings=settings(max_examples=400, stateful_step_count=40, deadline=None)
    )
