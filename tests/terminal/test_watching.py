"""The observer in a terminal, before a real server process: what is seen, found and opened."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from typing import Any

import pytest

from .watching import Server, Watching, watching


def watch(server: Server, test: Any, *size: int, **options: Any) -> None:
    async def main() -> None:
        async with watching(server, (size[0], size[1]) if size else (110, 40), **options) as one:
            await test(one)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("size", "theme"), [((60, 20), "light"), ((110, 40), "dark"), ((200, 60), "light")]
)
def test_every_view_is_shown_at_every_size_in_both_themes(
    server: Server, size: tuple[int, int], theme: str
) -> None:
    async def test(one: Watching) -> None:
        await one.until("Messages")
        seen = {
            "2": "root",
            "3": "spare-",
            "4": "? allow",
            "5": "failing",
            "6": "desk/[red]",
            "7": "No model was asked",
            "8": "loop",
            "9": "hourly",
            "0": "in no cluster",
            "1": "Needs a look",
        }
        for key, text in seen.items():
            await one.press(key)
            await one.until(text)
            # The line of keys is made anew for each view, a moment after it.
            screen = await one.until("Quit" if size[0] >= 80 else text)
            assert max(map(len, screen.splitlines())) <= size[0]

    watch(server, test, *size, theme=theme)


def test_the_tree_says_what_is_handled_for_how_long_and_what_was_restarted(server: Server) -> None:
    async def test(one: Watching) -> None:
        await one.press("2")
        screen = await one.until("Parcel")
        lines = {
            name: line
            for line in screen.splitlines()
            for name in ("holding", "failing", "desk", "clerk")
            if f" {name} " in line
        }
        assert "waiting" in lines["holding"]
        assert "Parcel" in lines["holding"]
        assert re.search(r"Parcel \d[\d.]*( ms| s|m \d\ds)", lines["holding"])
        assert "1" in lines["failing"]
        assert "ValueError: too hot" in lines["failing"]
        assert "▾ desk" in lines["desk"]
        # Its branch is shut, and opened again.
        await one.press("down", "space")
        await one.until(lambda seen: "▸ desk" in seen and "clerk" not in seen)
        await one.press("space")
        await one.until("clerk")

    watch(server, test)


def test_the_rest_of_a_long_branch_is_gone_into_and_left(server: Server) -> None:
    async def test(one: Watching) -> None:
        await one.press("2")
        await one.until("root")
        assert "spare-50" not in one.screen
        await one.press("end")
        await one.until("more")
        await one.press("enter")
        await one.until("root, from 40")
        await one.until("spare-50")
        await one.press("escape")
        await one.until(lambda seen: "from 40" not in seen and "holding" in seen)

    watch(server, test, 110, 60)


def test_lists_are_narrowed_to_what_has_a_text_in_it_and_to_a_state(server: Server) -> None:
    async def test(one: Watching) -> None:
        await one.press("3")
        await one.until("spare-")
        await one.press("slash", *"holdi", "enter")
        seen = await one.until(lambda seen: "holding" in seen and "spare-" not in seen)
        assert "with “holdi”" in seen
        await one.press("escape")
        await one.until("spare-")
        await one.press("s")
        await one.until("by mailbox")
        await one.press("f", "f")
        await one.until(lambda seen: "only waiting" in seen and "holding" in seen)
        assert "spare-" not in one.screen
        await one.press("4")
        await one.until("order-1")
        await one.press("slash", *"gate", "enter")
        await one.until(lambda seen: "gate-1" in seen and "order-1" not in seen)
        await one.press("5", "slash", *"nothing of the kind", "enter")
        await one.until("Nothing has happened")

    watch(server, test)


def test_one_run_has_its_question_its_steps_and_its_journal(server: Server) -> None:
    async def test(one: Watching) -> None:
        await one.press("4", "slash", *"order", "enter")
        await one.until(lambda seen: "order-1" in seen and "gate-1" not in seen)
        await one.press("enter")
        seen = await one.until("question asked")
        for text in ("It asks: allow", "in pay", "✔ look", "◔ pay", "50 %", "workflow started"):
            assert text in seen, text
        assert '"note": "[bold]now[/bold]"' in seen
        await one.press("escape")
        await one.until("Waits for")

    watch(server, test, 110, 50)


def test_beside_a_list_the_one_at_the_cursor_is_shown_where_there_is_room(server: Server) -> None:
    async def test(one: Watching) -> None:
        await one.press("3", "slash", *"failing", "enter")
        seen = await one.until("Incarnation")
        assert "Linked to" in seen
        assert "Mailbox" in seen

    watch(server, test, 160, 40)

    async def narrow(one: Watching) -> None:
        await one.press("3", "slash", *"failing", "enter")
        await one.until(lambda seen: "failing" in seen and "spare-" not in seen)
        assert "Incarnation" not in one.screen
        await one.press("enter")
        await one.until("Incarnation")

    watch(server, narrow, 70, 30)


def test_the_cursor_stays_with_its_row_while_the_list_changes(server: Server) -> None:
    async def test(one: Watching) -> None:
        await one.press("2")
        await one.until("clerk")
        await one.press("down", "down", "down")
        listing: Any = one.app.query_one("#list")
        name = listing.row["name"]
        await one.press("up", "up", "space", "down")
        assert listing.row["name"] == name

    watch(server, test)


def test_an_actor_and_a_run_are_found_by_a_part_of_their_names(server: Server) -> None:
    async def test(one: Watching) -> None:
        await one.press("g", *"spare-5")
        await one.until(lambda seen: "spare-59" in seen)
        await one.press("enter")
        await one.until(lambda seen: "spare-5" in seen and "Incarnation" in seen)
        await one.press("escape", "g", *"gate-1")
        await one.until("◔ waiting  gate")
        await one.press("enter")
        await one.until("It waits for a signal: go")

    watch(server, test)


def test_what_agents_say_is_text_and_commands_nothing(server: Server) -> None:
    async def test(one: Watching) -> None:
        for key in "1234567890":
            await one.press(key)
            await one.until("live")
            screen = one.screen
            controls = {c for c in screen if unicodedata.category(c) in ("Cc", "Cf") and c != "\n"}
            assert not controls, key
        await one.press("3", "slash", *"odd", "enter")
        await one.until(lambda seen: "[red]odd[/red]" in seen and "holding" not in seen)
        await one.press("enter")
        await one.until("Incarnation")
        assert "[red]odd[/red] \\u001b[2J\\u202ex" in one.screen
        await one.press("6")
        await one.until("desk/[red]odd[/red]")

    watch(server, test)


def test_nothing_can_be_done_where_the_server_has_not_enabled_it(server: Server) -> None:
    async def test(one: Watching) -> None:
        await one.press("4", "a")
        await one.until("order-1")
        assert " Do " not in one.screen
        assert len(one.app.screen_stack) == 1

    watch(server, test)


def test_the_light_theme_is_a_key_away_and_a_new_size_is_fitted(server: Server) -> None:
    async def test(one: Watching) -> None:
        await one.press("2")
        await one.until("Handles")
        await one.press("t")
        await one.until("Handles")
        assert one.app.theme == "observer-light"
        await one.pilot.resize_terminal(60, 20)
        await one.until(lambda seen: max(map(len, seen.splitlines())) <= 60 and "root" in seen)
        await one.pilot.resize_terminal(180, 50)
        await one.until("Incarnation")

    watch(server, test, theme="dark")


def test_it_stands_still_when_told_to(server: Server) -> None:
    async def test(one: Watching) -> None:
        await one.press("2")
        await one.until("Parcel")
        await one.press("z")
        await one.until("on hold")
        held = one.screen
        await one.pilot.pause(0.6)
        assert one.screen == held
        await one.press("z")
        await one.until("live")

    watch(server, test)
