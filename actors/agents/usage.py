"""What asking models has cost: requests, tokens, tool calls and the price.

The words are pydantic-ai's, whose `RunUsage` and `RequestUsage` are read without importing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Usage:
    """What has been spent on models, by one answer or by all of a piece of work.

    Tokens are inclusive, as pydantic-ai's are: what was read from a cache is part of *input_tokens*,
    what was thought is part of *output_tokens*.

    >>> (Usage(requests=1, input_tokens=90) + Usage(requests=1, output_tokens=10)).total_tokens
    100
    """

    requests: int = 0
    """Requests that were sent, the failed ones and those whose answer was thrown away included."""
    tool_calls: int = 0
    """Tools that were called and returned."""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    failed_requests: int = 0
    """Requests of *requests* that brought no answer; providers do not charge for them."""
    unmeasured_requests: int = 0
    """Requests whose answer did not say how many tokens it took."""
    unpriced_requests: int = 0
    """Requests with tokens whose price is not known: with any, *cost* is the least it can be."""
    cost: Decimal | None = None
    """The known price in US dollars; None where there is none. It is never guessed."""

    @property
    def total_tokens(self) -> int:
        """All tokens, in and out."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Any) -> Usage:
        if not isinstance(other, Usage):
            return NotImplemented
        sums: dict[str, int] = {
            name: getattr(self, name) + getattr(other, name) for name in COUNTED
        }
        return Usage(**sums, cost=_sum(self.cost, other.cost))

    def __radd__(self, other: Any) -> Usage:
        # So that `sum(usages)` works, which begins with 0.
        return self if other == 0 and not isinstance(other, Usage) else NotImplemented

    def __sub__(self, other: Any) -> Usage:
        """Return what was spent since *other*, an earlier sum of the same."""
        if not isinstance(other, Usage):
            return NotImplemented
        differences: dict[str, int] = {
            name: getattr(self, name) - getattr(other, name) for name in COUNTED
        }
        cost = self.cost
        if cost is not None and other.cost is not None:
            cost = None if cost == other.cost else cost - other.cost
        return Usage(**differences, cost=cost)

    def to_dict(self) -> dict[str, Any]:
        """Return it as data for JSON, *total_tokens* included; *cost* is a text, which keeps its digits."""
        data: dict[str, Any] = {name: getattr(self, name) for name in COUNTED}
        data["total_tokens"] = self.total_tokens
        data["cost"] = None if self.cost is None else format(self.cost, "f")
        return data

    def to_record(self) -> dict[str, Any]:
        """Return what `from_dict` needs and no more: what is zero or None is left out."""
        data = {name: value for name in COUNTED if (value := getattr(self, name))}
        if self.cost is not None:
            data["cost"] = format(self.cost, "f")
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Usage:
        """Return the usage that `to_dict` or `to_record` has written."""
        cost = data.get("cost")
        counts: dict[str, int] = {name: data.get(name, 0) for name in COUNTED}
        return cls(**counts, cost=None if cost is None else Decimal(cost))

    def __str__(self) -> str:
        """Return it as one line: ``3 requests, 1,204 tokens (1,000 in, 204 out), $0.0042``."""
        parts = [_counted(self.requests, "request")]
        if self.tool_calls:
            parts.append(_counted(self.tool_calls, "tool call"))
        if self.total_tokens:
            parts.append(
                f"{_counted(self.total_tokens, 'token')} "
                f"({self.input_tokens:,} in, {self.output_tokens:,} out)"
            )
        if self.cost is not None:
            parts.append(f"{'at least ' if self.unpriced_requests else ''}{price(self.cost)}")
        elif self.unpriced_requests:
            parts.append("price not known")
        return ", ".join(parts)


COUNTED: Final = tuple(each.name for each in fields(Usage) if each.name != "cost")
"""The fields that are numbers, in their order."""

NO_USAGE: Final = Usage()


def price(cost: Decimal) -> str:
    """Return *cost* as text in dollars, with as many digits as a small price needs.

    >>> price(Decimal("0.00012345")), price(Decimal("12.3")), price(Decimal(0))
    ('$0.00012', '$12.30', '$0.00')
    """
    if cost == 0 or abs(cost) >= 1:
        return f"${cost:,.2f}"
    digits = max(2, 1 - cost.adjusted())
    return f"${cost:.{digits}f}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _sum(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


__all__ = ["COUNTED", "NO_USAGE", "Usage", "price"]
