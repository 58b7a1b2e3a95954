"""What the clients ask the service for: kinds of runs, how each must end, and the keys of its steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from agenticaiframework.patterns.engine import EventKind, WorkflowRun, workflow

RETRY = {"attempts": 12, "initial_delay_s": 0.02, "max_delay_s": 0.3}
"""So many that a bad day does not exhaust them: a run that fails all the same is a finding."""
STEP_S = 3.0
"""The time limit of an attempt; one that hangs is over by then."""


def _step(step: str, agent: str, **more: Any) -> dict[str, Any]:
    return {"id": step, "agent": agent, "retry": RETRY, "timeout_seconds": STEP_S, **more}


FLOWS: dict[str, dict[str, Any]] = {
    "order": {
        "name": "order",
        "steps": [
            _step("reserve", "stock", input={"n": "$input.n"}),
            _step("charge", "bank", input={"n": "$reserve"}),
            _step("ship", "carrier", input={"n": "$charge"}),
        ],
        "output": "$ship",
    },
    "batch": {
        "name": "batch",
        "steps": [
            _step("each", "stock", for_each=[0, 1, 2], input={"n": "$input.n"}),
            _step("send", "carrier", input={"n": "$input.n"}),
        ],
        "output": "$send",
    },
    "letter": {
        "name": "letter",
        "steps": [
            _step("draft", "writer", input={"n": "$input.n"}),
            {"id": "approval", "wait_for": {"signal": "approved", "timeout_seconds": 600}},
            _step("send", "carrier", input={"n": "$draft"}),
        ],
        "output": "$send",
    },
    "doomed": {
        "name": "doomed",
        "steps": [
            _step("reserve", "stock", input={"n": "$input.n"}),
            {"id": "fail", "agent": "doomed", "input": {"n": "$reserve"}},
        ],
    },
}
"""Declared workflows by name; each step hands on its number plus one."""


@workflow(name="coded")
async def coded(run: WorkflowRun, given: Mapping[str, Any]) -> int:
    """Return the number after two agents have added one each."""
    n = given["n"]
    for agent in ("stock", "bank"):
        n = await run.ask(agent, {"n": n}, retry=RETRY, timeout_seconds=STEP_S)
    return int(n)


SHARES = {
    "order": 0.5,
    "batch": 0.15,
    "coded": 0.15,
    "letter": 0.12,
    "doomed": 0.04,
    "dropped": 0.04,
}
"""How the clients mix them; `dropped` is an order that its client cancels."""

ADDED = {"order": 3, "batch": 1, "coded": 2, "letter": 2, "dropped": 3}
"""What a completed run has added to its number."""

ENDS: dict[str, frozenset[str]] = {
    "doomed": frozenset({"failed"}),
    "dropped": frozenset({"cancelled", "completed"}),
}
"""The states in which a run of that kind may end; of others, only `completed`."""


def flow_of(kind: str) -> str:
    """Return the name of the workflow that a run of *kind* is one of."""
    return "order" if kind == "dropped" else kind


def may_end(kind: str) -> frozenset[str]:
    """Return the states in which a run of *kind* may end."""
    return ENDS.get(kind, frozenset({"completed"}))


def recorded(run_id: str, entries: Iterable[Any]) -> list[tuple[str, float]]:
    """Return the idempotency keys of what the journal says is finished, and when it was written."""
    found: list[tuple[str, float]] = []
    for entry in entries:
        if entry.kind not in (EventKind.STEP_COMPLETED, EventKind.ITEM_COMPLETED):
            continue
        item = f":{entry.data['item']}" if entry.kind == EventKind.ITEM_COMPLETED else ""
        found.append((f"{run_id}:{quote(str(entry.step), safe='')}{item}", float(entry.at)))
    return found
