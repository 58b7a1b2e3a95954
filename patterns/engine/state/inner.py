"""The inner steps of one piece of work: what the attempts of its handler have recorded so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

ASKS: Final = "?"
"""What the last name of a place begins with that is a question's."""


class OpenQuestion:
    """A question of a handler that has no answer yet."""

    __slots__ = ("asked_at", "data")

    def __init__(self, data: Mapping[str, Any], asked_at: float) -> None:
        self.data = data
        """What its event tells."""
        self.asked_at = asked_at

    @property
    def id(self) -> str:
        """What it is called in its run."""
        found: str = self.data["question"]
        return found

    @property
    def group(self) -> str | None:
        """The group whose questions wait for one another, as its handling calls it."""
        found: str | None = self.data.get("group")
        return found


class InnerOutcomes:
    """Outcomes by place. Changed by the run's transitions, on its loop; read from any thread.

    A place is the names on the way to a call: ``/charge``, ``/charge#2``, ``/writer/charge`` (of the
    agent ``writer`` that the handler asked).
    """

    __slots__ = ("_order", "outputs", "questions")

    def __init__(self) -> None:
        self.outputs: dict[str, Any] = {}
        """What was returned, in its stored form."""
        self.questions: dict[str, OpenQuestion] = {}
        """The questions that have no answer yet, by place."""
        self._order: dict[tuple[str, int], str] = {}
        """The last name of a place, by the handling and the number of the call in it."""

    def add(self, data: Mapping[str, Any]) -> None:
        """Keep what an event tells."""
        place: str = data["place"]
        order = data.get("order")
        if order is not None:
            handling, _, name = place.rpartition("/")
            self._order[handling, order] = name
        self.outputs[place] = data.get("output")

    def ask(self, data: Mapping[str, Any], at: float) -> None:
        """Keep a question that an event tells of."""
        self.questions[data["place"]] = OpenQuestion(data, at)

    def answer(self, data: Mapping[str, Any]) -> bool:
        """Keep an answer that an event tells of; return whether what asked for it may go on."""
        question = self.questions.pop(data["place"], None)
        self.add(data if question is None else {**question.data, **data})
        group = None if question is None else question.group
        return group is None or all(other.group != group for other in self.questions.values())

    def called(self, place: str, order: int) -> str | None:
        """Return the name that the call had with number *order*, in the handling that *place* is in."""
        return self._order.get((place.rpartition("/")[0], order))

    def names(self) -> list[str]:
        """Return the places without their first stroke, in the order in which they were recorded."""
        return [
            place.removeprefix("/").replace(f"/{ASKS}", "/").removeprefix(ASKS)
            for place in list(self.outputs)
        ]
