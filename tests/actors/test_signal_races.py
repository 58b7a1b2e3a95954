"""Many actors link, watch and end each other at once: what must hold whatever the order is."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agenticaiframework.actors import Actor, ActorRef, ActorSystem, Down, Exit, Monitor
from agenticaiframework.actors.kernel.link_table import links_of
from agenticaiframework.actors.simulation import run_sim

MOST = 5

steps = st.tuples(
    st.sampled_from(["link", "unlink", "monitor", "demonitor", "signal", "pause", "end"]),
    st.integers(0, MOST - 1),
    st.sampled_from([0.0, 0.0, 1.0, 2.0]),
)


class Racer(Actor):
    """Runs a script of operations in one handler, and keeps what it is sent meanwhile."""

    def __init__(self, race: Race, number: int, trap: bool) -> None:
        super().__init__()
        self.race = race
        self.number = number
        self.trap_exit = trap
        self.seen: list[Any] = []
        self.cut: dict[Any, list[Any]] = {}
        """What was in the mailbox when a link was undone, by the ref it was undone with."""

    async def on_receive(self, message: Any) -> None:
        if not isinstance(message, list):
            self.seen.append(message)
            return
        for what, whom, pause_s in message:
            other = self.race.refs[whom % len(self.race.refs)]
            if what == "link":
                self.cut.pop(other, None)
                self.race.linkers.add((self.actor_ref, other))
                self.link(other)
            elif what == "unlink":
                self.unlink(other)
                if other is not self.actor_ref:
                    self.cut[other] = list(self.actor_ref._mailbox or ()) + self.seen
            elif what == "monitor":
                self.race.monitors.append(self.monitor(other))
            elif what == "demonitor":
                mine = [m for m in self.race.monitors if m.watcher is self.actor_ref]
                if mine:
                    self.demonitor(mine[0])
                    self.race.ended_monitors.append(mine[0])
            elif what == "signal":
                reason = ("told", next(self.race.serial))
                self.race.told.setdefault(other, []).append(reason)
                other.exit(reason)
            elif what == "end":
                self.exit(("ended", self.number))
            await asyncio.sleep(pause_s)


class Race:
    """The actors of one run, and what they did."""

    def __init__(self) -> None:
        self.refs: list[ActorRef[Any]] = []
        self.actors: list[Racer] = []
        self.monitors: list[Monitor] = []
        self.ended_monitors: list[Monitor] = []
        self.linkers: set[tuple[Any, Any]] = set()
        self.told: dict[Any, list[Any]] = {}
        self.serial = iter(range(1_000_000))

    def check(self) -> None:
        for ref, racer in zip(self.refs, self.actors, strict=True):
            if ref.is_alive():
                self.check_links(ref, racer)
            elif ref.exit_reason not in ("shutdown", "noproc"):
                kind, _ = ref.exit_reason
                assert kind in ("told", "ended"), ref.exit_reason
        for monitor in self.monitors:
            self.check_monitor(monitor)

    def check_links(self, ref: ActorRef[Any], racer: Racer) -> None:
        for linked in links_of(ref):
            assert linked.is_alive(), f"{ref} is still linked with the dead {linked}"
            assert ref in links_of(linked), f"{linked} does not know of its link with {ref}"
        for other, before in racer.cut.items():
            if (other, ref) in self.linkers:
                continue  # the other's own wish to link may arrive after this side's unlink
            late = [
                m
                for m in racer.seen
                if isinstance(m, Exit)
                and m.ref is other
                and not any(m is known for known in before)
                and m.reason not in self.told.get(ref, ())
            ]
            assert not late, f"{ref} had undone its link with {other}, and yet got {late}"

    def check_monitor(self, monitor: Monitor) -> None:
        watcher = self.actors[self.refs.index(monitor.watcher)]
        downs = [m for m in watcher.seen if isinstance(m, Down) and m.monitor is monitor]
        if monitor in self.ended_monitors:
            assert not downs, "a Down came although it was flushed"
        elif monitor.watcher.is_alive() and not monitor.target.is_alive():
            assert len(downs) == 1, f"{monitor}: {downs}"
            assert downs[0].reason in ("noproc", monitor.target.exit_reason)
        elif monitor.target.is_alive():
            assert not downs


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    systems=st.integers(1, 3),
    racers=st.lists(
        st.tuples(st.booleans(), st.lists(steps, max_size=12)), min_size=2, max_size=MOST
    ),
)
def run_race(seed: int, systems: int, racers: list[tuple[bool, list[Any]]]) -> None:
    async def main() -> None:
        race = Race()
        homes = [ActorSystem(f"s{n}", seed=seed + n) for n in range(systems)]
        for home in homes:
            await home.__aenter__()
        for number, (trap, _) in enumerate(racers):
            ref = homes[number % systems].start(Racer, race, number, trap)
            race.refs.append(ref)
            race.actors.append(ref._actor)  # type: ignore[arg-type]
        for ref, (_, script) in zip(race.refs, racers, strict=True):
            ref.tell(script)
        await asyncio.sleep(100)
        race.check()
        for home in reversed(homes):
            assert (await home.stop(5.0)).clean

    run_sim(main, seed=seed)


def test_no_signal_is_lost_or_comes_twice_in_any_order(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="pykka")
    run_race()
