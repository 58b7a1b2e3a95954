"""The view of nodes: which are up, how much runs on each, and what was lost with those that are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.text import Text

from .cells import number_cell, plain, state_cell
from .columns import Column
from .figures import count, lasting, share
from .listing import Row
from .palette import Palette

Answer = Mapping[str, Any]

NODES: Final = (
    Column("Node", 14, 30),
    Column("State", 16, 20),
    Column("Actors", 14, 16, rank=0),
    Column("To send", 7, 7, rank=1, right=True),
    Column("Sent", 6, 7, rank=2, right=True),
    Column("It is", 10, 36, rank=3),
    Column("Lost", 14, 60, rank=1),
)
BAR: Final = 8


def node_rows(answer: Answer, query: str) -> list[Row]:
    """Return a line for each node that has *query* in its name or its labels."""
    wanted = query.casefold()
    rows: list[Answer] = answer.get("rows") or []
    most = max((row["actors"] for row in rows if row["state"] == "up"), default=0)
    return [
        {**row, "key": row["id"], "item": "node", "most": most}
        for row in rows
        if wanted in " ".join([row["name"], *row["labels"]]).casefold()
    ]


def node_cells(row: Row, palette: Palette) -> list[Text]:
    """Return the cells of a node."""
    up = row["state"] == "up"
    actors = plain("")
    if up:
        actors = plain(share(row["actors"] / max(1, row["most"]), BAR), palette.accent)
        actors.append(f" {count(row['actors'])}", palette.ink)
    other = up and not row["here"]
    return [
        plain(row["name"], palette.ink if up else palette.dim),
        node_state(row, palette),
        actors,
        number_cell(row["waiting"], palette) if other else plain(""),
        number_cell(row["sent"], palette, 1e15) if not row["here"] else plain(""),
        plain(", ".join(roles_of(row)), palette.soft),
        plain("" if up else ", ".join(losses_of(row)) or "nothing", palette.warn),
    ]


def node_state(row: Answer, palette: Palette) -> Text:
    """Return whether a node is up, and for how long it is not."""
    said = state_cell(row["state"], palette)
    if row["lost_s"] is not None:
        said.append(f" for {lasting(row['lost_s'])}", palette.dim)
    return said


def roles_of(row: Answer) -> list[str]:
    """Return what a node is to the others, and its labels."""
    here, head = ["this one"] if row["here"] else [], ["head"] if row["head"] else []
    return [*here, *head, *(plain(label).plain for label in row["labels"])]


def losses_of(row: Answer) -> list[str]:
    """Return what went with a node that is down: messages that never left, and those that may have come."""
    kinds = (("never_sent", "never sent"), ("maybe_delivered", "maybe delivered"))
    return [f"{row[name]:,} {said}" for name, said in kinds if row[name]]


__all__ = ["NODES", "losses_of", "node_cells", "node_rows", "node_state", "roles_of"]
