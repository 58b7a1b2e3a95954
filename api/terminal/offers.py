"""What can be done to an actor, a run or a schedule as it stands: the actions that its observer has enabled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Answer = Mapping[str, Any]

OF_WAITS: Final[Mapping[str, str]] = {
    "approve": "approval", "deny": "approval", "answer": "question", "signal": "signal",
}  # fmt: skip
FILLED: Final[Mapping[str, str]] = {
    "approve": "question", "deny": "question", "answer": "question", "signal": "signal",
}  # fmt: skip
RESUMABLE: Final = ("failed", "interrupted", "blocked", "cancelled")


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that an action asks for, and what it is filled with at first."""

    name: str
    label: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """One action on one thing, to be confirmed."""

    action: str
    target: str
    title: str
    says: str
    harsh: bool = False
    fields: Sequence[Field] = field(default_factory=tuple)


def offers_for(of: str, thing: Answer, actions: Sequence[Answer]) -> list[Offer]:
    """Return what can be done to *thing*, an ``actor``, a ``run`` or a ``schedule``, of what is enabled.

    What answers a wait comes first, once for each such wait; what cannot apply is left out.
    """
    found: list[Offer] = []
    answers: list[Offer] = []
    name = str(thing["name"])
    for one in actions:
        if one["of"] != of:
            continue
        action = one["name"]
        target = str(thing["pid"] if of == "actor" else thing["id"])
        waits = [w for w in thing.get("waits") or () if w["kind"] == OF_WAITS.get(action)]
        if action in OF_WAITS:
            answers += [
                _offer(one, target, f"{wait['name']} of {name}", wait["id"]) for wait in waits
            ]
            continue
        if not _applies(action, thing):
            continue
        found.append(_offer(one, target, name))
    return answers + found


def _applies(action: str, thing: Answer) -> bool:
    if action == "cancel":
        return not thing["finished"]
    if action in ("pause_schedule", "resume_schedule"):
        return thing["paused"] is (action == "resume_schedule")
    return action != "resume" or thing["state"] in RESUMABLE


def _offer(one: Answer, target: str, what: str, filled: str = "") -> Offer:
    fields = [
        Field(name, label, filled if name == FILLED.get(one["name"]) else "")
        for name, label, _kind in one["fields"]
    ]
    title = f"{one['label']}: {what}"
    return Offer(one["name"], target, title, one["says"], bool(one["harsh"]), fields)


__all__ = ["Field", "Offer", "offers_for"]
