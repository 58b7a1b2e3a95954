"""The views: what each asks the observer for, and how its rows are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .columns import Column
from .listing import Cells, Row
from .nodes import NODES, node_cells, node_rows
from .queues import QUEUES, queue_cells, queue_rows
from .rows import (
    ACTORS,
    EVENTS,
    HEALTH,
    LETTERS,
    MODELS,
    RUNS,
    TREE,
    actor_cells,
    actor_rows,
    event_cells,
    event_rows,
    health_cells,
    health_rows,
    letter_cells,
    letter_rows,
    model_cells,
    model_rows,
    run_cells,
    run_rows,
    tree_cells,
    tree_rows,
)

Answer = dict[str, Any]

ROWS: Final = 200
"""Rows of a list that are asked for at once."""


@dataclass(slots=True)
class Wish:
    """What one view is to show: what was typed and chosen for it. Owned by the app."""

    query: str = ""
    order: int = 0
    only: int = 0
    folded: set[Any] = field(default_factory=set[Any])
    into: list[tuple[Any, str, int]] = field(default_factory=list[tuple[Any, str, int]])
    """The supervisors that were gone into, each with the child that is shown first."""
    pages: list[str] = field(default_factory=list[str])
    """The pages of a list that were turned over, the last one shown."""
    queue: str = ""
    """The queue whose runs alone are shown."""


@dataclass(frozen=True, slots=True)
class View:
    """One view of the observer. *orders* and *onlys* are what `s` and `f` choose from."""

    name: str
    title: str
    empty: str
    columns: Sequence[Column]
    cells: Cells
    rows: Callable[[Answer, Wish], list[Row]]
    params: Callable[[Wish], Mapping[str, Any]] = lambda _wish: {}
    orders: tuple[str, ...] = ()
    onlys: tuple[str, ...] = ()


def _tree_params(wish: Wish) -> Mapping[str, Any]:
    if not wish.into:
        return {}
    pid, _, start = wish.into[-1]
    return {"root": pid, "start": start}


def _found(rows: list[Row], query: str) -> list[Row]:
    """Return the lines of a tree whose names have *query* in them."""
    wanted = query.casefold()
    return [row for row in rows if not wanted or wanted in str(row.get("name", "")).casefold()]


ORDERS: Final = ("load", "mailbox", "busy", "handled", "newest")
ACTOR_STATES: Final = ("", "running", "waiting", "full", "idle", "suspended", "stopping")
RUN_STATES: Final = (
    "",
    "waiting",
    "running",
    "failed",
    "blocked",
    "interrupted",
    "completed",
    "cancelled",
)

VIEWS: Final[Sequence[View]] = (
    View("overview", "Overview", "", (), lambda _row, _palette: (), lambda _answer, _wish: []),
    View(
        "tree", "Tree", "No supervisor is running", TREE, tree_cells,
        lambda answer, wish: _found(tree_rows(answer, wish.folded), wish.query), _tree_params,
    ),
    View(
        "actors", "Actors", "No actor is like that", ACTORS, actor_cells,
        lambda answer, _wish: actor_rows(answer),
        lambda wish: {
            "order": ORDERS[wish.order], "state": ACTOR_STATES[wish.only], "q": wish.query,
            "limit": ROWS,
        },
        ORDERS, ACTOR_STATES,
    ),
    View(
        "runs", "Workflows", "No run is like that", RUNS, run_cells,
        lambda answer, _wish: run_rows(answer),
        lambda wish: {
            "state": RUN_STATES[wish.only], "name": wish.query, "details": "1",
            "queue": wish.queue,
            "page": wish.pages[-1] if wish.pages else None, "limit": 50,
        },
        (), RUN_STATES,
    ),
    View(
        "events", "Events", "Nothing has happened since the observer listens", EVENTS, event_cells,
        lambda answer, wish: event_rows(answer, wish.query), lambda _wish: {"limit": 500},
    ),
    View(
        "letters", "Letters", "Everything was delivered", LETTERS, letter_cells,
        lambda answer, wish: letter_rows(answer, wish.query), lambda _wish: {"limit": 500},
    ),
    View(
        "models", "Models", "No model was asked since the observer listens", MODELS, model_cells,
        lambda answer, wish: model_rows(answer, wish.query),
    ),
    View(
        "health", "Health", "There are no checks", HEALTH, health_cells,
        lambda answer, wish: _found(health_rows(answer), wish.query),
    ),
    View(
        "queues", "Queues", "…", QUEUES, queue_cells,
        lambda answer, wish: queue_rows(answer, wish.query),
    ),
    View(
        "nodes", "Nodes", "This system is in no cluster", NODES, node_cells,
        lambda answer, wish: node_rows(answer, wish.query),
    ),
)  # fmt: skip

__all__ = ["VIEWS", "View", "Wish"]
