"""The first view: the system in numbers with their last minute, what needs a look, what happened lately."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .cells import doing_cell, number_cell, plain
from .figures import bars, clock, count, counted, lasting, since
from .palette import Palette, colour_of, mark_of

Answer = Mapping[str, Any]

CARD: Final = 22
"""Cells that a card wants."""

RATES: Final = (
    ("messages", "Messages", "/s", ""),
    ("actors", "Actors", "", "actors"),
    ("mailbox", "In mailboxes", "", "mailbox"),
    ("restarts", "Restarts", "/s", ""),
    ("ended", "Ended", "/s", ""),
    ("letters", "Dead letters", "/s", ""),
    ("lag_ms", "Loop late", " ms", ""),
    ("tokens", "Tokens", "/s", ""),
)


def overview_shown(
    overview: Answer, lists: Answer, width: int, height: int, palette: Palette
) -> RenderableType:
    """Return the whole view, for *width* cells, and as high as fills *height* lines where that can be."""
    columns = _columns(width)
    high = 1 if height < 32 else 3
    parts: list[RenderableType] = [_cards(overview, width, columns, high, palette)]
    left = max(12, height - len(RATES) // columns * (high + 3))
    troubles, runs = _troubles(overview, palette), _runs(overview, palette)
    each = max(3, (left - 11) // 2)
    people = _waiting(lists.get("waiting", ())[:each], palette)
    actors = _actors(lists.get("actors", ())[:each], palette)
    lately = _lately(lists.get("events", ())[: left - 2], palette)
    if width < 110:
        # What a person has to do is seen first where there is little room.
        first = [troubles, people, *parts] if height < 32 else [*parts, troubles, people]
        return Group(*first, runs, actors, lately)
    beside = Table.grid(expand=True, padding=(0, 1, 0, 0))
    beside.add_column(ratio=1)
    beside.add_column(ratio=1)
    beside.add_row(Group(troubles, people, runs, actors), lately)
    return Group(*parts, beside)


def _columns(width: int) -> int:
    """Return how many cards stand beside each other: all rows are full."""
    return next(one for one in (8, 4, 2, 1) if one * CARD <= width or one == 1)


def _cards(overview: Answer, width: int, columns: int, high: int, palette: Palette) -> Table:
    size = max(6, width // columns - 5)
    table = Table.grid(expand=True, padding=(0, 1, 0, 0))
    for _ in range(columns):
        table.add_column(ratio=1)
    cards = [_card(overview, one, size, high, palette) for one in RATES]
    for first in range(0, len(cards), columns):
        table.add_row(*cards[first : first + columns])
    return table


def _card(
    overview: Answer, of: tuple[str, str, str, str], size: int, high: int, palette: Palette
) -> Panel:
    name, title, unit, exact = of
    value = overview["rates"].get(name, 0.0)
    if exact == "actors":
        value = overview["actors"]["total"]
    elif exact == "mailbox":
        value = overview["actors"]["mailbox"]
    bad = (name in ("restarts", "letters") and value > 0) or (name == "lag_ms" and value > 100)
    said = Text(count(value), f"bold {palette.warn if bad else palette.ink}", end="")
    said.append(unit, palette.dim)
    lines = bars(overview["spark"].get(name, ()), size, high)
    for index, line in enumerate(lines):
        rest = "▁" if index == len(lines) - 1 else " "
        said.append("\n" + rest * (size - len(line)), palette.line)
        said.append(line, palette.warn if bad else palette.accent)
    return _panel(title, said, palette)


def _troubles(overview: Answer, palette: Palette) -> Panel:
    said = Text()
    for check in overview["health"]["checks"]:
        if check["state"] != "ok":
            colour = colour_of(check["state"], palette)
            said.append(
                f"{mark_of(check['state'])} {plain(check['name']).plain}  ", f"bold {colour}"
            )
            said.append(f"{plain(check['reason']).plain}\n", palette.soft)
    for child in overview["supervision"]["trouble"][:8]:
        said.append(
            f"{mark_of(child['state'])} {plain(child['path']).plain}  ", f"bold {palette.bad}"
        )
        said.append(child["state"], palette.warn)
        if child.get("back_in_s") is not None:
            said.append(f", back in {lasting(child['back_in_s'])}", palette.warn)
        said.append(f"  {plain(child['reason']).plain}\n", palette.soft)
    if overview.get("abandoned"):
        said.append(f"{overview['abandoned']} handlers were abandoned\n", palette.warn)
    if not said.plain:
        said.append("✔ All is well", palette.ok)
    said.rstrip()
    return _panel("Needs a look", said, palette)


def _runs(overview: Answer, palette: Palette) -> Panel:
    said = Text()
    for state, row in overview["runs"].items():
        if row["count"]:
            said.append(f"{mark_of(state)} {counted(row)} ", f"bold {colour_of(state, palette)}")
            said.append(f"{state}   ", palette.soft)
    spent = overview["usage"]
    if spent.get("requests"):
        said.append(f"\n{count(spent['requests'])} requests to models, ", palette.dim)
        said.append(f"{count(spent['total_tokens'])} tokens", palette.dim)
        if spent.get("cost") is not None:
            said.append(f", ${float(spent['cost']):,.2f}", palette.dim)
    return _panel("Workflows", said if said.plain else Text("None", palette.dim), palette)


def _waiting(runs: Sequence[Answer], palette: Palette) -> RenderableType:
    """Return the runs that wait for people; nothing where there are none."""
    if not runs:
        return Group()
    table = _table(3)
    now = time.time()
    for run in runs:
        what = plain(f"? {', '.join(map(str, run['waits']))}", f"bold {palette.warn}")
        name = plain(run["name"], palette.ink).append(f"  {plain(run['id']).plain}", palette.dim)
        table.add_row(what, Text(since(run["created_at"], now), palette.soft), name)
    return _panel("Waits for you", table, palette)


def _actors(actors: Sequence[Answer], palette: Palette) -> RenderableType:
    """Return the actors that have most to do."""
    busy = [one for one in actors if one["mailbox"] or one["busy_s"] is not None or one["busy"]]
    if not busy:
        return Group()
    table = _table(3)
    for one in busy:
        mail = number_cell(one["mailbox"], palette, 100).append(" wait", palette.dim)
        table.add_row(plain(one["name"], palette.ink), mail, doing_cell(one, palette))
    return _panel("Most to do", table, palette)


def _table(columns: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for _ in range(columns - 1):
        table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    return table


def _lately(events: Sequence[Answer], palette: Palette) -> Panel:
    table = Table.grid(padding=(0, 1, 0, 0), expand=True)
    table.add_column(no_wrap=True, min_width=8)
    table.add_column(overflow="ellipsis", no_wrap=True, ratio=1)
    for event in events:
        said = plain(event["subject"], colour_of(event["level"], palette))
        if event["count"] > 1:
            said.append(f" ×{event['count']}", palette.warn)
        said.append(f"  {plain(event['text']).plain}", palette.soft)
        table.add_row(Text(clock(event["at"]), palette.dim), said)
    quiet = Text("Nothing has failed since the observer listens", palette.dim)
    return _panel("Lately", table if events else quiet, palette)


def _panel(title: str, inner: RenderableType, palette: Palette) -> Panel:
    return Panel(
        inner, title=Text(title, f"bold {palette.soft}"), title_align="left",
        border_style=palette.line, padding=(0, 1), expand=True,
    )  # fmt: skip


def numbers_line(overview: Answer, width: int, palette: Palette) -> Text:
    """Return the system in one line: as many numbers as fit into *width*."""
    actors, tree = overview["actors"], overview["supervision"]
    waiting = overview["runs"].get("waiting", {"count": 0})
    running = overview["runs"].get("running", {"count": 0})
    failing = [one for one in overview["health"]["checks"] if one["state"] != "ok"]
    status = overview["health"]["status"]
    parts: list[tuple[str, str, str]] = [
        (mark_of(status), status, colour_of(status, palette)),
        (count(actors["total"]), "actors", palette.ink),
        (count(actors["handling"]), "at work", palette.ink),
        (count(actors["mailbox"]), "in mailboxes", palette.ink),
        (counted(running), "running", palette.accent),
        (counted(waiting), "waiting", palette.warn if waiting["count"] else palette.ink),
        (f"{overview['rates']['messages']:.0f}/s", "messages", palette.ink),
        (count(tree["restarts"]), "restarts", palette.warn if tree["restarts"] else palette.ink),
        (count(overview["letters"]), "dead letters", palette.ink),
        (f"{overview['rates']['lag_ms']:.0f} ms", "late", palette.ink),
    ]
    if not overview["runs"]:
        del parts[4:6]
    line = Text(" ", end="", no_wrap=True)
    for number, name, colour in parts:
        if line.cell_len + len(number) + len(name) + 4 > width:
            break
        line.append(number, f"bold {colour}")
        line.append(f" {name}   ", palette.dim)
    if failing and line.cell_len + 20 < width:
        line.append(plain(failing[0]["name"]).plain, palette.warn)
    return line


__all__ = ["numbers_line", "overview_shown"]
