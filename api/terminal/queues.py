"""The view of queues and schedules: what waits and who takes it, and what is started when."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from rich.text import Text

from .cells import number_cell, plain
from .columns import Column
from .figures import count, lasting, share, since
from .listing import Row
from .palette import Palette, mark_of

Answer = Mapping[str, Any]

QUEUES: Final = (
    Column("Queue", 16, 34),
    Column("Waiting", 9, 17, rank=0),
    Column("Oldest", 7, 8, rank=2, right=True),
    Column("Taken", 6, 14, rank=0),
    Column("Limits", 12, 40, rank=3),
    Column("Served by", 14, 90, rank=1),
)
_SCHEDULES: Final = ("Schedule", "Next", "Last", "Fired", "When", "Starts, and says")
"""The titles of the lower half, which stands in the columns of the upper one."""

BAR: Final = 6


def queue_rows(answer: Answer, query: str) -> list[Row]:
    """Return a line for each queue with *query* in its name, and below them one for each such schedule."""
    if answer.get("problem"):
        return []
    queues: Answer = answer.get("queues") or {}
    schedules: Answer = answer.get("schedules") or {}
    rows: list[Row] = [
        {**row, "key": ("queue", row["name"]), "runs_of": row["name"]}
        for row in _named(queues, query)
    ]
    if not rows:
        rows.append(_note("queue", queues, "No queue is like that" if query else _NO_QUEUE))
    rows.append({"key": ("titles",), "titles": _SCHEDULES})
    found: list[Row] = [
        {
            **row,
            "key": ("schedule", row["name"]),
            "item": "schedule",
            "acts_on": ("schedule", row["id"]),
        }
        for row in _named(schedules, query)
    ]
    if not found:
        said = "No schedule is like that" if query else "No schedule starts anything"
        found.append(_note("schedule", schedules, said))
    return rows + found


_NO_QUEUE: Final = "No engine serves a queue, and none has runs"


def _named(answer: Answer, query: str) -> list[Answer]:
    wanted = query.casefold()
    rows: list[Answer] = answer.get("rows") or []
    return [row for row in rows if wanted in str(row["name"]).casefold()]


def _note(of: str, answer: Answer, said: str) -> Row:
    return {"key": ("note", of), "note": answer.get("problem") or said}


def queue_cells(row: Row, palette: Palette) -> list[Text]:
    """Return the cells of a queue, of a schedule, or of what stands between them."""
    if "titles" in row:
        return [plain(title, f"bold {palette.dim}") for title in row["titles"]]
    if "note" in row:
        return [plain(row["note"], palette.dim), *(Text() for _ in QUEUES[1:])]
    return _schedule(row, palette) if row.get("item") == "schedule" else _queue(row, palette)


def _queue(row: Row, palette: Palette) -> list[Text]:
    engines: list[str] = row["engines"]
    alone = bool(row["waiting"]) and not engines
    mark = "failed" if alone else "running" if engines else "stopped"
    colour = palette.bad if alone else palette.ok if engines else palette.dim
    limits: list[str] = row["limits"]
    none = "no limit" if row["served_here"] else "not served here"
    return [
        _marked(row["name"], mark, colour, palette),
        number_cell(row["waiting"], palette, 1e15),
        plain(since(row["oldest_at"], time.time()), palette.soft),
        taken_cell(row, palette),
        plain(", ".join(limits) or none, palette.soft if limits else palette.dim),
        plain(", ".join(engines) or "no living engine", palette.soft if engines else colour),
    ]


def taken_cell(row: Answer, palette: Palette) -> Text:
    """Return how many places are taken; as a bar where the queue has so many and no more."""
    taken, most = row["taken"], row.get("most_taken")
    if not most:
        return number_cell(taken, palette, 1e15)
    bar = plain(share(taken / most, BAR), palette.warn if taken >= most else palette.accent)
    return bar.append(f" {count(taken)}/{count(most)}", palette.ink)


def _schedule(row: Row, palette: Palette) -> list[Text]:
    counts: Answer = row["counts"]
    bad = bool(row["error"])
    mark = "suspended" if row["paused"] else "failed" if bad else "running"
    colour = palette.warn if row["paused"] else palette.bad if bad else palette.ok
    says = plain(row["workflow"], palette.ink)
    for name in ("missed", "skipped", "failed"):
        if counts.get(name):
            says.append(f"  {count(counts[name])} {name}", palette.warn)
    said = row["error"] or row["reason"]
    if said:
        says.append(f"  {plain(said).plain}", palette.bad if bad else palette.dim)
    return [
        _marked(row["name"], mark, colour, palette),
        next_cell(row, time.time(), palette),
        plain(since(row["last_due"], time.time()), palette.soft),
        number_cell(counts.get("fired"), palette, 1e15),
        plain(row["when"], palette.soft),
        says,
    ]


def next_cell(row: Answer, now: float, palette: Palette) -> Text:
    """Return how long it is until the next time, with a bar that fills from the last time to it."""
    at, last = row["next_at"], row["last_due"]
    if row["paused"] or at is None:
        return plain("paused" if row["paused"] else "never", palette.dim)
    if at < now:
        return plain(f"{lasting(now - at)} late" if now - at >= 1 else "now", palette.warn)
    # A clock that runs down is read at a glance; without a last time it has no beginning.
    bar = "" if last is None or last >= at else share((now - last) / (at - last), BAR) + " "
    left = lasting(at - now) if at - now >= 1 else "now"
    return plain(bar, palette.accent).append(left, palette.ink)


def _marked(name: str, mark: str, colour: str, palette: Palette) -> Text:
    return plain(f"{mark_of(mark)} ", colour).append(plain(name).plain, palette.ink)


__all__ = ["QUEUES", "next_cell", "queue_cells", "queue_rows", "taken_cell"]
