"""The lists: which columns each has, and how what an observer tells becomes their rows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Set
from typing import Any, Final

from rich.text import Text

from .cells import doing_cell, number_cell, plain, state_cell, with_node
from .columns import Column
from .figures import clock, lasting, share, since
from .listing import Row
from .palette import Palette, colour_of

Answer = dict[str, Any]

# -- the tree --------------------------------------------------------------------------------------

TREE: Final = (
    Column("Supervision", 22, 60),
    Column("State", 11, 14),
    Column("Handles", 12, 34, rank=1),
    Column("Mailbox", 7, 7, rank=2, right=True),
    Column("Restarts", 8, 8, rank=1, right=True),
    Column("Last end", 16, 90, rank=3),
)


def tree_rows(answer: Answer, folded: Set[Any]) -> list[Row]:
    """Return a line for each child, below its supervisor, but for those in what is *folded*."""
    return list(_below(answer.get("rows", []), folded, "", top=True))


def _below(
    rows: list[Answer], folded: Set[Any], lead: str, *, top: bool = False, more: bool = False
) -> Iterator[Row]:
    for index, row in enumerate(rows):
        last = index == len(rows) - 1 and not more
        branch = "" if top else ("└─ " if last else "├─ ")
        inner = lead + ("" if top else ("   " if last else "│  "))
        shut = row["pid"] in folded and bool(row["children"])
        key = (lead, row["name"], index if row["pid"] is None else row["pid"])
        yield {**row, "key": key, "lead": lead + branch, "shut": shut, "target": _actor(row)}
        if shut:
            continue
        left_out = row.get("left_out") or 0
        yield from _below(row["children"], folded, inner, more=left_out > 0)
        if left_out > 0:
            into = (row["pid"], row["name"], row.get("next_start") or 0)
            yield {"key": ("more", *into), "lead": f"{inner}└─ ", "more": left_out, "into": into}


def _actor(row: Answer) -> tuple[str, Any] | None:
    return None if row.get("pid") is None else ("actor", row["pid"])


def tree_cells(row: Row, palette: Palette) -> list[Text]:
    """Return the cells of a line of the tree."""
    name = Text(row["lead"], palette.line, end="", no_wrap=True)
    if "more" in row:
        name.append(f"… {row['more']:,} more", palette.accent)
        return [name, *(Text() for _ in TREE[1:])]
    supervisor = row["kind"] == "supervisor"
    if supervisor:
        name.append("▸ " if row["shut"] else "▾ ", palette.accent)
    name.append(plain(row["name"]).plain, f"bold {palette.ink}" if supervisor else palette.ink)
    if supervisor and row.get("total"):
        name.append(f" {row['total']:,}", palette.dim)
    name = with_node(name, row, palette)
    state = row["state"] if row["state"] != "running" else row["activity"]
    back = row.get("back_in_s")
    ended = plain(row.get("last_exit"), palette.dim)
    if back is not None:
        ended = plain(f"back in {lasting(back)}  ", palette.warn).append_text(ended)
    return [
        name,
        state_cell(state or "running", palette, of_actor=True),
        doing_cell(row, palette),
        number_cell(row["mailbox"], palette, 100),
        number_cell(row["restarts"], palette),
        ended,
    ]


# -- actors ----------------------------------------------------------------------------------------

ACTORS: Final = (
    Column("Actor", 16, 44),
    Column("State", 11, 13),
    Column("Handles", 12, 34, rank=1),
    Column("Mailbox", 7, 7, rank=0, right=True),
    Column("Handled", 7, 7, rank=2, right=True),
    Column("Under", 12, 30, rank=3),
    Column("Class", 12, 24, rank=4),
    Column("Number", 7, 8, rank=5, right=True),
)


def actor_rows(answer: Answer) -> list[Row]:
    """Return a line for each actor."""
    return [{**row, "key": row["pid"], "target": _actor(row)} for row in answer.get("rows", [])]


def actor_cells(row: Row, palette: Palette) -> list[Text]:
    """Return the cells of an actor."""
    parent = row.get("parent")
    return [
        with_node(plain(row["name"], palette.ink), row, palette),
        state_cell(row["state"], palette, of_actor=True),
        doing_cell(row, palette),
        number_cell(row["mailbox"], palette, 100),
        number_cell(row["handled"], palette, 1e15),
        plain(parent["name"] if parent else "", palette.soft),
        plain(row["kind"], palette.dim),
        plain(row["pid"], palette.dim),
    ]


# -- runs ------------------------------------------------------------------------------------------

RUNS: Final = (
    Column("Workflow", 14, 28),
    Column("State", 12, 14),
    Column("Progress", 9, 12, rank=2),
    Column("Waits for, or why", 14, 60, rank=1),
    Column("Age", 7, 8, rank=3, right=True),
    Column("Run", 12, 34, rank=4),
    Column("Labels", 10, 30, rank=5),
)


def run_rows(answer: Answer) -> list[Row]:
    """Return a line for each run."""
    return [
        {**row, "key": row["id"], "target": ("run", row["id"])} for row in answer.get("rows", [])
    ]


def run_cells(row: Row, palette: Palette) -> list[Text]:
    """Return the cells of a run."""
    now = time.time()
    waits = row.get("waits") or ()
    if waits:
        said = plain("? " + ", ".join(str(one) for one in waits), f"bold {palette.warn}")
    else:
        error = row.get("error") or row.get("reason") or row.get("queue_reason")
        said = plain(error, palette.bad if row.get("error") else palette.dim)
    progress = row.get("progress")
    bar = Text(end="")
    if progress is not None:
        bar = plain(share(progress / 100, 6), palette.accent)
        bar.append(f" {progress:.0f}", palette.dim)
    given: dict[str, str] = row.get("labels") or {}
    labels = "  ".join(f"{name}={value}" for name, value in given.items())
    return [
        plain(row["name"], palette.ink),
        state_cell(row["state"], palette),
        bar,
        said,
        plain(since(row["created_at"], now), palette.soft),
        plain(row["id"], palette.dim),
        plain(labels, palette.dim),
    ]


# -- events and dead letters -----------------------------------------------------------------------

EVENTS: Final = (
    Column("At", 8, 11),
    Column("What", 14, 18, rank=1),
    Column("Who", 14, 40),
    Column("Times", 5, 5, rank=2, right=True),
    Column("Why, and what next", 18, 200, rank=0),
)


def event_rows(answer: Answer, query: str) -> list[Row]:
    """Return a line for each event that has *query* in it."""
    rows: list[Answer] = answer.get("rows", [])
    return [
        {**row, "key": row["number"], "target": _actor(row), "item": "event"}
        for row in _with(query, rows, ("kind", "subject", "text"))
    ]


def event_cells(row: Row, palette: Palette) -> list[Text]:
    """Return the cells of an event."""
    kind = row["kind"]
    level = palette.dim if kind == "action" else colour_of(row["level"], palette)
    times = row["count"]
    return [
        plain(clock(row["at"]), palette.dim),
        plain(kind.replace("_", " "), level),
        plain(row["subject"], palette.ink),
        plain(f"×{times}" if times > 1 else "", palette.warn),
        plain(row["text"], palette.soft),
    ]


LETTERS: Final = (
    Column("At", 8, 11),
    Column("To", 16, 44),
    Column("Message", 12, 50, rank=1),
    Column("Why it was not delivered", 16, 120),
)


def letter_rows(answer: Answer, query: str) -> list[Row]:
    """Return a line for each dead letter that has *query* in it."""
    rows: list[Answer] = answer.get("rows", [])
    return [
        {**row, "key": row["number"], "item": "letter"}
        for row in _with(query, rows, ("recipient", "message", "reason"))
    ]


def letter_cells(row: Row, palette: Palette) -> list[Text]:
    """Return the cells of a dead letter."""
    return [
        plain(clock(row["at"]), palette.dim),
        plain(row["recipient"], palette.ink),
        plain(row["message"], palette.soft),
        plain(row["reason"], palette.warn),
    ]


# -- health and models -----------------------------------------------------------------------------

HEALTH: Final = (
    Column("Check", 18, 40),
    Column("State", 12, 14),
    Column("Since", 8, 11, rank=1),
    Column("Why", 16, 200),
)


def health_rows(answer: Answer) -> list[Row]:
    """Return a line for each check, the worst first, and one for each child that is not well."""
    worst = {"failed": 0, "degraded": 1}
    checks = sorted(answer.get("checks", []), key=lambda one: worst.get(one["state"], 2))
    rows: list[Row] = [{**one, "key": ("check", one["name"]), "item": "check"} for one in checks]
    rows += [
        {
            "key": ("trouble", one["path"]), "name": one["path"], "state": one["state"],
            "since": None, "reason": one["reason"], "item": "check",
            "target": ("actor", one["supervisor"]),
        }
        for one in answer.get("trouble", [])
    ]  # fmt: skip
    return rows


def health_cells(row: Row, palette: Palette) -> list[Text]:
    """Return the cells of a check."""
    well = row["state"] == "ok"
    return [
        plain(row["name"], palette.ink),
        state_cell(row["state"], palette),
        plain("" if well else clock(row["since"]), palette.dim),
        plain(row["reason"], palette.soft),
    ]


MODELS: Final = (
    Column("Agent, or model", 18, 44),
    Column("Requests", 8, 9, right=True),
    Column("Tokens in", 9, 10, rank=1, right=True),
    Column("Tokens out", 10, 10, rank=1, right=True),
    Column("Tools", 6, 7, rank=3, right=True),
    Column("Mean", 8, 8, rank=2, right=True),
    Column("Errors", 6, 6, rank=2, right=True),
    Column("Cost", 9, 10, rank=1, right=True),
)


def model_rows(answer: Answer, query: str) -> list[Row]:
    """Return a line for each agent, and one for each model."""
    rows: list[Answer] = []
    for of in ("agents", "models"):
        rows += [{**row, "key": (of, row["name"]), "of": of} for row in answer.get(of, [])]
    return list(_with(query, rows, ("name",)))


def model_cells(row: Row, palette: Palette) -> list[Text]:
    """Return the cells of what an agent has asked, or a model was asked."""
    cost = row.get("cost")
    return [
        plain(row["name"], palette.ink if row["of"] == "agents" else palette.accent),
        number_cell(row["requests"], palette, 1e15),
        number_cell(row["input_tokens"], palette, 1e15),
        number_cell(row["output_tokens"], palette, 1e15),
        number_cell(row["tool_calls"], palette, 1e15),
        plain(lasting(row["mean_s"]), palette.soft),
        number_cell(row["errors"], palette),
        plain("–" if cost is None else f"${float(cost):,.4f}", palette.soft),
    ]


def _with(query: str, rows: Iterable[Answer], fields: tuple[str, ...]) -> Iterator[Answer]:
    """Yield the rows that have *query* in one of their fields."""
    wanted = query.casefold()
    for row in rows:
        if not wanted or any(wanted in str(row.get(one) or "").casefold() for one in fields):
            yield row
