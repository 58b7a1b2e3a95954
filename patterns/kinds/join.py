"""When a fan-out is done, and what a failed branch means: ``all``, ``first``, ``quorum(n)``, ``collect``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import PlainValidator, WithJsonSchema

from ..vocabulary.outcome import Completed, Outcome, Skipped

JoinKind: TypeAlias = Literal["all", "first", "quorum", "collect"]


@dataclass(frozen=True, slots=True)
class Join:
    """A join policy as a value; `quorum` makes the one with a number.

    - ``all``: every branch has to complete. A failed one makes the whole an error that carries every
      branch's outcome; the others still run to their end.
    - ``first``: a race. The first to complete is the result; the losers are cancelled.
    - ``quorum``: the first *count* to complete are the result; the rest are cancelled. Once too many
      have failed, the whole fails and the rest is cancelled.
    - ``collect``: whatever completes is the result, and what is missing is told beside it.
    """

    kind: JoinKind
    count: int | None = None

    def __str__(self) -> str:
        return self.kind if self.count is None else f"{self.kind}({self.count})"

    def to_dict(self) -> Any:
        """Return the policy as data: its name, or ``{"quorum": n}``."""
        return self.kind if self.count is None else {self.kind: self.count}


def quorum(count: int) -> Join:
    """Return the join policy that needs *count* branches to complete."""
    if not _is_count(count):
        raise ValueError(f"A quorum is a number of branches, such as quorum(2), not {count!r}")
    return Join("quorum", count)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


class JoinProgress:
    """Counts the outcomes of one fan-out, and tells when it is decided."""

    __slots__ = ("_completed", "_left", "_needed")

    def __init__(self, join: Join, branches: int) -> None:
        self._needed = {"first": 1, "quorum": join.count}.get(join.kind)
        self._left = branches
        self._completed = 0

    def see(self, outcome: Outcome) -> str | None:
        """Count *outcome*; return why the rest is not needed, or None while it is."""
        if self._needed is None:
            return None
        self._left -= 1
        if isinstance(outcome, Completed):
            self._completed += 1
        if self._completed >= self._needed:
            return "another was first" if self._needed == 1 else "the quorum is reached"
        if self._completed + self._left < self._needed:
            return "the quorum cannot be reached"
        return None


def joined(join: Join, outcomes: list[Outcome]) -> Outcome | str | None:
    """Return what keeps *outcomes* from being a result: a failed outcome, a sentence, or None."""
    if join.kind == "all":
        for outcome in outcomes:
            if not isinstance(outcome, (Completed, Skipped)):
                return outcome
        return None
    if join.kind == "collect":
        return None
    needed = join.count or 1
    completed = sum(isinstance(outcome, Completed) for outcome in outcomes)
    if completed >= needed:
        return None
    if needed == 1:
        return "failed: no branch completed"
    return f"failed: {completed} of the {needed} branches that it needs completed"


_FORMS = '"all", "first", "collect", or quorum(2), also written {"quorum": 2}'
_QUORUM = re.compile(r"quorum\(\s*(\d+)\s*\)")


def _read_join(value: Any) -> Join:
    if isinstance(value, Join):
        return value
    if isinstance(value, str):
        match = _QUORUM.fullmatch(value)
        if match is not None:
            return quorum(int(match.group(1)))
        if value in ("all", "first", "collect"):
            return Join(cast(JoinKind, value))
    if isinstance(value, dict) and list(cast("dict[Any, Any]", value)) == ["quorum"]:
        return quorum(cast("dict[str, Any]", value)["quorum"])
    raise ValueError(f"{value!r} is not a join policy. Give {_FORMS}")


JoinField: TypeAlias = Annotated[
    Join,
    PlainValidator(_read_join),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["all", "first", "collect"]},
                {"type": "object", "properties": {"quorum": {"type": "integer"}}},
            ]
        }
    ),
]

ALL = Join("all")
