"""What each view shows: where its data comes from, and the parts that it is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agenticaiframework.patterns.engine import WorkflowFilter, WorkflowState

from .data import Observed
from .data.census import ORDERS
from .data.runs import finished

Params = Mapping[str, str]
Context = dict[str, Any]

ROWS: Final = 50
ROWS_AT_MOST: Final = 500
ACTOR_STATES: Final = (
    "running",
    "waiting",
    "ready",
    "full",
    "idle",
    "starting",
    "suspended",
    "cancelling",
    "stopping",
)


class NotThere(LookupError):
    """What a view is about is not there; the text says what, and what can be done."""


@dataclass(frozen=True, slots=True)
class View:
    """One view: *live* parts are rendered again while it is open, *still* ones are not."""

    name: str
    title: str
    load: Callable[[Observed, Params], Awaitable[Context]]
    live: tuple[str, ...]
    still: tuple[str, ...] = ()
    """Parts above the live ones: forms, which must not change below the hands of their users."""
    around: str = ""
    """The view of the menu that this one belongs to, if it is not itself there."""
    every_s: float = 1.0


def number(params: Params, name: str, default: int, most: int = 2**53) -> int:
    """Return a parameter as a number between 0 and *most*; *default* for what is not one."""
    try:
        return max(0, min(int(params.get(name, default)), most))
    except ValueError:
        return default


async def _overview(observed: Observed, _params: Params) -> Context:
    events = await observed.events(limit=8)
    found = await observed.runs({"state": "waiting"}, limit=6, details=True)
    asks = [run for run in found["rows"] if run.get("waits")]
    return {"o": await observed.overview(), "events": events["rows"], "asks": asks}


async def _tree(observed: Observed, params: Params) -> Context:
    root = number(params, "root", 0) or None
    tree = await observed.tree(root=root, start=number(params, "start", 0))
    return {"tree": tree, "root": root}


async def _actors(observed: Observed, params: Params) -> Context:
    order = params.get("order", "load")
    state = params.get("state") or None
    found = await observed.actors(
        order=order if order in ORDERS else "load",
        state=state if state in ACTOR_STATES else None,
        query=params.get("q", "")[:200],
        start=number(params, "start", 0, 10_000),
        limit=number(params, "limit", ROWS, ROWS_AT_MOST) or ROWS,
    )
    return {"actors": found, "orders": list(ORDERS), "states": ACTOR_STATES, "params": params}


async def _actor(observed: Observed, params: Params) -> Context:
    pid = number(params, "pid", 0)
    actor = await observed.actor(pid)
    if actor is None:
        raise NotThere(
            f"There is no actor {pid} any more. It has ended, or was restarted under a new number: "
            "look it up by its name."
        )
    return {"actor": actor, "pid": pid}


def run_filter(params: Params) -> WorkflowFilter:
    """Return which runs are meant. A state that there is not means all."""
    where: WorkflowFilter = {}
    states = [one for one in params.get("state", "").split(",") if one in _STATES]
    if states:
        where["state"] = states
    name = params.get("name", "").strip()
    if name:
        where["name"] = name[:200]
    label, _, value = params.get("label", "").partition("=")
    if label.strip() and value:
        where["labels"] = {label.strip(): value.strip()}
    if params.get("queue"):
        where["queue"] = params["queue"][:200]
    if params.get("parent"):
        where["parent"] = params["parent"]
    return where


_STATES: Final = frozenset(str(state) for state in WorkflowState)


async def _runs(observed: Observed, params: Params) -> Context:
    limit = number(params, "limit", ROWS, ROWS_AT_MOST) or ROWS
    try:
        found = await observed.runs(
            run_filter(params), page=params.get("page") or None, limit=limit, details=True
        )
    except ValueError as error:
        raise NotThere(str(error)) from None
    return {
        "runs": found,
        "params": params,
        "all_states": [str(one) for one in WorkflowState],
    }


async def _run(observed: Observed, params: Params) -> Context:
    run_id = params.get("run", "")
    after = number(params, "after", 0)
    try:
        run = await observed.run(run_id)
        journal = await observed.journal(run_id, after=after)
    except LookupError as error:
        raise NotThere(str(error)) from None
    return {"run": run, "journal": journal, "after": after, "over": finished(run["state"])}


async def _queues(observed: Observed, _params: Params) -> Context:
    return {"queues": await observed.queues(), "schedules": await observed.schedules()}


async def _models(observed: Observed, _params: Params) -> Context:
    return {"models": await observed.models()}


async def _events(observed: Observed, params: Params) -> Context:
    kind = params.get("kind") or None
    found = await observed.events(limit=200, kind=kind)
    return {"events": found["rows"], "counts": found["counts"], "kind": kind}


async def _letters(observed: Observed, _params: Params) -> Context:
    return {"letters": await observed.letters(limit=200)}


async def _system(observed: Observed, _params: Params) -> Context:
    return {
        "o": await observed.overview(),
        "health": await observed.health(),
        "nodes": await observed.nodes(),
        "stores": await observed.stores(),
    }


async def _search(observed: Observed, params: Params) -> Context:
    return {"found": await observed.search(params.get("q", "")[:200])}


VIEWS: Final[Mapping[str, View]] = {
    view.name: view
    for view in (
        View("overview", "Overview", _overview, ("numbers", "attention", "lately"), ("charts",)),
        View("tree", "Supervision", _tree, ("tree_head", "tree")),
        View("actors", "Actors", _actors, ("actors",), ("actors_filter",)),
        View("actor", "Actor", _actor, ("actor",), around="actors"),
        View("runs", "Workflows", _runs, ("runs_counts", "runs"), ("runs_filter",), every_s=2.0),
        View("run", "Run", _run, ("run_head", "run_waits", "run_graph", "run_steps", "run_trace", "run_journal"),
             around="runs"),
        View("queues", "Queues, schedules", _queues, ("queues", "schedules"), every_s=2.0),
        View("models", "Models", _models, ("models",), every_s=2.0),
        View("events", "Events", _events, ("events",)),
        View("letters", "Dead letters", _letters, ("letters",)),
        View("system", "System", _system, ("system",), every_s=2.0),
        View("search", "Search", _search, ("search",), every_s=5.0),
    )
}  # fmt: skip

MENU: Final = (
    "overview",
    "tree",
    "actors",
    "runs",
    "queues",
    "models",
    "events",
    "letters",
    "system",
)
"""The views of the menu, in its order."""
