"""The supervision tree as far as it is looked at: a budget of rows, and what is left out said."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final

from agenticaiframework.actors import ActorRef, ActorSystem
from agenticaiframework.supervision import (
    Branch,
    ChildState,
    SupervisionTree,
    branch_of,
    root_supervisors,
)

from .census import message_shown, pid_of, state_shown
from .nodes import node_name
from .slices import SLICE
from .texts import text

ROWS: Final = 400
"""Rows of a tree that are shown at once."""

FIRST: Final = 40
"""Children that are shown of each supervisor at first."""

TROUBLE: Final = frozenset(
    {
        ChildState.RESTARTING,
        ChildState.DECIDING,
        ChildState.COOLING_DOWN,
        ChildState.GAVE_UP,
        ChildState.FAILED,
    }
)

Row = dict[str, Any]


class _Budget:
    """How many rows more may be made."""

    def __init__(self, rows: int) -> None:
        self.left = rows


async def look_at_tree(
    system: ActorSystem,
    *,
    root: ActorRef[Any] | None = None,
    start: int = 0,
    limit: int = FIRST,
    payloads: bool = False,
) -> list[Row]:
    """Return the trees of *system*, or the one below *root* from its child *start* on, as nested rows."""
    budget = _Budget(ROWS)
    roots = root_supervisors(system) if root is None else [root]
    rows: list[Row] = []
    for ref in roots[:ROWS]:
        branch = branch_of(ref, start if root is not None else 0, limit)
        if branch is not None and budget.left > 0:
            rows.append(await _branch_row(system, ref, branch, budget, payloads, 0))
    return rows


async def _branch_row(
    system: ActorSystem,
    ref: ActorRef[Any],
    branch: Branch,
    budget: _Budget,
    payloads: bool,
    depth: int,
) -> Row:
    await asyncio.sleep(0)
    budget.left -= 1
    children: list[Row] = []
    # The level first, then what is below it: siblings are seen before a deep branch eats the budget.
    shown = list(zip(branch.children, branch.refs, strict=True))[: max(0, budget.left)]
    budget.left -= len(shown)
    for node, child_ref in shown:
        below = None
        if node.kind == "supervisor" and child_ref is not None and budget.left > 0:
            below = branch_of(child_ref, 0, FIRST, name=node.name)
        if below is None or child_ref is None:
            children.append(_row(system, node, child_ref, payloads, depth + 1))
            continue
        budget.left += 1
        row = await _branch_row(system, child_ref, below, budget, payloads, depth + 1)
        children.append({**row, **_standing(node)})
    row = _row(system, branch.node, ref, payloads, depth)
    first = branch.start
    left_out = branch.total - first - len(children)
    return {
        **row,
        "children": children,
        "total": branch.total,
        "start": first,
        "left_out": left_out,
        "next_start": first + len(children) if left_out > 0 else None,
        "dynamic": branch.dynamic,
    }


def _standing(node: SupervisionTree) -> Row:
    """Return what the supervisor above knows of a child, and the child itself does not."""
    return {
        "state": str(node.state),
        "restarts": node.restarts,
        "incarnation": node.incarnation,
        "last_exit": None if node.last_exit is None else text(node.last_exit, 240),
        "back_in_s": node.back_in_s,
    }


def _row(
    system: ActorSystem,
    node: SupervisionTree,
    ref: ActorRef[Any] | None,
    payloads: bool,
    depth: int,
) -> Row:
    info = None
    if ref is not None and getattr(ref, "system", None) is system:
        info = system.info(ref)
    return {
        "name": text(node.name),
        "kind": node.kind,
        "node": node_name(system, ref),
        "pid": None if ref is None else pid_of(ref),
        "depth": depth,
        "activity": node.activity if info is None else state_shown(info),
        "strategy": node.strategy,
        "mailbox": node.mailbox_length,
        "waiting": node.waiting,
        "in_window": node.in_window,
        "limit": node.limit,
        "period_s": node.period_s,
        "busy": node.busy,
        "concurrency": node.concurrency,
        "busy_s": None if info is None else info.busy_s,
        "message": None if info is None else message_shown(info.current_message, payloads),
        "traceback": None if node.traceback is None else text(node.traceback, 4_000),
        **_standing(node),
        "children": [],
        "total": 0,
        "left_out": 0,
    }


class TreeSummary:
    """All supervisors and their children, in numbers, and those that are not well. Owned by its maker."""

    def __init__(self) -> None:
        self.supervisors = 0
        self.states: Counter[str] = Counter()
        self.restarts = 0
        self.trouble: list[Row] = []

    def to_dict(self) -> Row:
        """Return the summary as plain data, for JSON."""
        return {
            "supervisors": self.supervisors,
            "children": sum(self.states.values()),
            "states": dict(self.states),
            "restarts": self.restarts,
            "trouble": self.trouble,
        }


async def summarise_tree(system: ActorSystem) -> TreeSummary:
    """Look at every child once, in slices, and return what they are."""
    summary = TreeSummary()
    below: list[tuple[str, ActorRef[Any]]] = [(r.label, r) for r in root_supervisors(system)]
    while below:
        path, ref = below.pop()
        start = 0
        summary.supervisors += 1
        while (branch := branch_of(ref, start, SLICE)) is not None:
            for node, child in zip(branch.children, branch.refs, strict=True):
                here = f"{path}/{node.name}"
                summary.states[str(node.state)] += 1
                summary.restarts += node.restarts
                if node.state in TROUBLE and len(summary.trouble) < SLICE:
                    summary.trouble.append(_problem(here, ref, node))
                if node.kind == "supervisor" and child is not None:
                    below.append((here, child))
            start += SLICE
            await asyncio.sleep(0)
            if start >= branch.total:
                break
    return summary


def _problem(path: str, supervisor: ActorRef[Any], node: SupervisionTree) -> Row:
    return {
        "path": text(path, 240),
        "state": str(node.state),
        "reason": None if node.last_exit is None else text(node.last_exit, 240),
        "restarts": node.restarts,
        "back_in_s": node.back_in_s,
        "supervisor": pid_of(supervisor),
        "child": text(node.name),
    }


async def place_of(
    system: ActorSystem, supervisor: ActorRef[Any], pid: int | None, name: str | None
) -> tuple[SupervisionTree, ActorRef[Any] | None, Branch] | None:
    """Return a child of *supervisor*, by its actor's number or its name, with its actor."""
    start = 0
    while (branch := branch_of(supervisor, start, SLICE)) is not None:
        for node, ref in zip(branch.children, branch.refs, strict=True):
            by_pid = pid is not None and ref is not None and pid_of(ref) == pid
            if by_pid or (name is not None and text(node.name) == name):
                return node, ref, branch
        start += SLICE
        if start >= branch.total:
            return None
        await asyncio.sleep(0)
    return None
