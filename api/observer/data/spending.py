"""What models were asked, by agent and by model, since the observer listens."""

from __future__ import annotations

from typing import Any, Final

from agenticaiframework.actors import NO_USAGE, ModelRequestEnded, Usage

from .texts import text

MOST_NAMES: Final = 1_000
"""Agents (and models) that are told apart; what is more is counted under ``others``."""

OTHERS: Final = "others"


class Spending:
    """Sums of usage. Owned by the feed that hands it the events."""

    def __init__(self) -> None:
        self.total: Usage = NO_USAGE
        self.by_agent: dict[str, _Sum] = {}
        self.by_model: dict[str, _Sum] = {}

    def add(self, event: ModelRequestEnded) -> None:
        """Count one request that has ended."""
        self.total = self.total + event.usage
        for sums, name in (
            (self.by_agent, text(event.agent)),
            (
                self.by_model,
                text(f"{event.provider}:{event.model}" if event.provider else event.model),
            ),
        ):
            if name not in sums and len(sums) >= MOST_NAMES:
                name = OTHERS
            sums.setdefault(name, _Sum()).add(event)

    def to_dict(self) -> dict[str, Any]:
        """Return the sums as plain data, those with the most tokens first."""
        return {
            "total": self.total.to_dict(),
            "agents": _rows(self.by_agent),
            "models": _rows(self.by_model),
        }


class _Sum:
    """The requests of one agent, or to one model."""

    __slots__ = ("errors", "seconds", "usage")

    def __init__(self) -> None:
        self.usage = NO_USAGE
        self.seconds = 0.0
        self.errors = 0

    def add(self, event: ModelRequestEnded) -> None:
        """Count one more."""
        self.usage = self.usage + event.usage
        self.seconds += event.duration_s
        self.errors += event.error is not None


def _rows(sums: dict[str, _Sum]) -> list[dict[str, Any]]:
    most = sorted(sums.items(), key=lambda item: -item[1].usage.total_tokens)
    return [
        {
            "name": name,
            **one.usage.to_dict(),
            "errors": one.errors,
            "mean_s": one.seconds / max(1, one.usage.requests),
        }
        for name, one in most
    ]
