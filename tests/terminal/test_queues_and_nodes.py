"""The observer in a terminal: the queues and the schedules of an engine, and the nodes of a cluster."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest

from agenticaiframework.terminal.palette import DARK, PALETTES
from agenticaiframework.terminal.queues import next_cell
from agenticaiframework.terminal.tabs import bar
from agenticaiframework.terminal.views import VIEWS

from .watching import TOKEN, Server, Watching, watching

PALETTE = PALETTES[DARK]


@pytest.fixture(scope="module")
def busy() -> Iterator[Server]:
    """A server with queues, schedules and a cluster, one node of which is lost."""
    one = Server("busy")
    one.begin()
    try:
        yield one
    finally:
        one.kill()


def watch(server: Server, test: Any, *size: int) -> None:
    async def main() -> None:
        async with watching(server, (size[0], size[1]) if size else (140, 40)) as one:
            await test(one)

    asyncio.run(main())


def lines_of(seen: str, *names: str) -> list[str]:
    """Return the first line of what is seen with each of *names* in it, its columns apart by one space."""
    lines = [re.sub(r" +", " ", line) for line in seen.splitlines()]
    return [next(line for line in lines if f" {name} " in line) for name in names]


def test_a_queue_says_what_waits_how_much_of_it_is_taken_and_who_takes_it(busy: Server) -> None:
    async def test(one: Watching) -> None:
        await one.press("9")
        lathe, press = lines_of(await one.until("2/2"), "lathe", "press")
        assert re.search(r"● lathe 2 .* ━━━━━━ 2/2 2 at once, 1 of a key engine@", lathe)
        assert re.search(r"✘ press 1 .* 0 not served here no living engine", press)

    watch(busy, test)


def test_a_queue_is_opened_as_the_list_of_its_runs_and_left_again(busy: Server) -> None:
    async def test(one: Watching) -> None:
        await one.press("9")
        await one.until("press")
        await one.press("enter")
        seen = await one.until(lambda seen: "cut-4" in seen and "gate-1" not in seen)
        assert "of the queue lathe" in seen
        await one.until("1 run comes before it")
        await one.press("escape")
        await one.until(lambda seen: "gate-1" in seen and "of the queue lathe" not in seen)

    watch(busy, test)


def test_one_run_of_a_queue_says_its_key_and_why_it_waits(busy: Server) -> None:
    async def test(one: Watching) -> None:
        await one.press("g", *"cut-4")
        await one.until("pending  gate")
        await one.press("enter")
        await one.until("lathe, key cid")
        assert "It waits  1 run comes before it" in one.screen

    watch(busy, test)


def test_a_schedule_says_when_it_starts_what_and_one_that_is_paused_why(busy: Server) -> None:
    async def test(one: Watching) -> None:
        await one.press("9")
        nightly, weekly = lines_of(await one.until("nightly"), "nightly", "weekly")
        assert re.search(r"● nightly [━─]{6} .* 1 every 900000 s gate", nightly)
        assert re.search(r"‖ weekly paused .*0 7 \* \* 1 Europe/Berlin order the shop is", weekly)
        await one.press("slash", *"week", "enter")
        await one.until(lambda seen: "nightly" not in seen and "No queue is like that" in seen)
        await one.press("end")
        await one.until("Skipped")

    watch(busy, test)


def test_a_schedule_is_paused_from_the_terminal_and_offers_to_go_on_then(steered: Server) -> None:
    async def main() -> None:
        async with watching(steered, (140, 40), token=TOKEN) as one:
            await one.press("0")
            await one.until("This system is in no cluster")
            await one.press("9")
            await one.until("hourly")
            await one.press("end", "a")
            seen = await one.until("Pause: hourly")
            assert "Resume: hourly" not in seen
            await one.press("enter")
            await one.until("It starts nothing until it is resumed")
            await one.press(*"closed", "ctrl+y")
            await one.until("it is paused")
            await one.until("‖ hourly")
            await one.press("a")
            await one.until(lambda seen: "Resume: hourly" in seen and "Pause: hourly" not in seen)

    asyncio.run(main())


def test_nodes_say_how_much_runs_on_each_and_what_was_lost_with_one(busy: Server) -> None:
    async def test(one: Watching) -> None:
        await one.press("0")
        seen = await one.until(lambda seen: "west" in seen and "down for" in seen)
        head, east, west = lines_of(seen, "head", "east", "west")
        assert re.search(r"head ● up ━━━━━━━━ \d+ ", head)
        assert re.search(r"east ● up ─{8} \d \d+ \d+ gpu", east)
        assert re.search(r"west ✘ down for .* (nothing|sent|delivered)", west)
        await one.press("2", "slash", *"far", "enter")
        await one.until("far on east")
        await one.press("3", "slash", *"far", "enter")
        await one.until("far on east")

    watch(busy, test, 110, 40)


def test_a_schedule_runs_down_to_its_next_time() -> None:
    def shown(now: float, **row: Any) -> str:
        return next_cell({"paused": False, "last_due": 0.0, **row}, now, PALETTE).plain

    assert shown(25.0, next_at=100.0) == "━━──── 1m 15s"
    assert shown(75.0, next_at=100.0) == "━━━━── 25.0 s"
    assert shown(25.0, next_at=100.0, last_due=None) == "1m 15s"
    assert shown(103.0, next_at=100.0) == "3.0 s late"
    assert shown(25.0, next_at=100.0, paused=True) == "paused"
    assert shown(25.0, next_at=None) == "never"


def test_the_views_stand_closer_before_their_names_are_given_up() -> None:
    titles = [view.title for view in VIEWS]
    wide, ends = bar(titles, 8, 140, PALETTE)
    close, close_ends = bar(titles, 8, 95, PALETTE)
    narrow, _ = bar(titles, 8, 60, PALETTE)
    assert " 1 Overview   2 Tree " in wide.plain
    assert " 1 Overview 2 Tree " in close.plain
    assert (" 1 ", "Tree" in narrow.plain, "9 Queues" in narrow.plain) == (" 1 ", False, True)
    assert [line.cell_len for line in (wide, close)] == [ends[-1], close_ends[-1]]
    assert len(close.plain) <= 95
