"""Limits of what a piece of work may spend on models, and the error when one is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from ..errors import AgenticError, near_names
from ..looks import shown
from .usage import Usage

DEFAULT_REQUEST_LIMIT: Final = 50
"""What pydantic-ai's `UsageLimits` says of requests if its caller says nothing."""

FORM: Final = 'UsageLimits(total_tokens_limit=20_000), or {"total_tokens_limit": 20_000}'


class BadUsageLimits(AgenticError, ValueError):
    """What was given as ``usage_limits`` is not one."""

    def __init__(self, where: str, problem: str) -> None:
        self.problem = problem
        super().__init__(f"usage_limits of {where}: {problem}{_end(problem)} For example: {FORM}")
        self.where = where


def _end(problem: str) -> str:
    return "" if problem[-1:] in "?." else "."


class UsageLimitReached(AgenticError):
    """A piece of work has spent what it may, and asks no model any more.

    *name* is the piece of work whose limit it is, *kind* what that is (``workflow``, ``team``, ...),
    *limit* the limit's name (``total_tokens_limit``) and *allowed* its value; *spent* is what all
    beneath it have spent, *spent_by* by which agent. It is the failure of one request: nothing
    crashes, and no attempt is made again that would meet it again.
    """

    expected = True

    def __init__(
        self,
        kind: str,
        name: str,
        limit: str,
        allowed: int | Decimal,
        spent: Usage,
        spent_by: Mapping[str, Usage] | None = None,
        *,
        of_one_answer: bool = False,
    ) -> None:
        by = dict(spent_by or {})
        told = ""
        if len(by) > 1:
            several = [f"{agent} {usage.total_tokens:,} tokens" for agent, usage in by.items()]
            told = f" ({', '.join(several[:5])}{', ...' if len(several) > 5 else ''})"
        super().__init__(
            f"The {kind} {name!r} has reached its {limit} of {allowed:,}: {spent}{told}. "
            "No model is asked any more for it; raise usage_limits if it should go on."
        )
        self.kind = kind
        self.name = name
        self.limit = limit
        self.allowed = allowed
        self.spent = spent
        self.spent_by = by
        self.of_one_answer = of_one_answer
        """Whether it is the limit of one answer of an agent, so that another attempt has its own."""


@dataclass(frozen=True, slots=True)
class WorkLimits:
    """The limits of one piece of work, over all agents beneath it; None: without a limit."""

    request_limit: int | None = None
    tool_calls_limit: int | None = None
    input_tokens_limit: int | None = None
    output_tokens_limit: int | None = None
    total_tokens_limit: int | None = None
    cost_limit: Decimal | None = None

    def reached(self, spent: Usage) -> tuple[str, int | Decimal] | None:
        """Return the limit that *spent* leaves no room under for another request."""
        for name, allowed, used in (
            ("request_limit", self.request_limit, spent.requests),
            ("input_tokens_limit", self.input_tokens_limit, spent.input_tokens),
            ("output_tokens_limit", self.output_tokens_limit, spent.output_tokens),
            ("total_tokens_limit", self.total_tokens_limit, spent.total_tokens),
            ("cost_limit", self.cost_limit, spent.cost),
        ):
            # What has spent all of it stops too: a request that takes nothing does not exist.
            if allowed is not None and used is not None and used >= allowed:
                return name, allowed
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return what is limited, as data for JSON."""
        data: dict[str, Any] = {
            name: value for name in NAMES if (value := getattr(self, name)) is not None
        }
        if self.cost_limit is not None:
            data["cost_limit"] = format(self.cost_limit, "f")
        return data


NAMES: Final = tuple(each.name for each in fields(WorkLimits))

_OF_ONE_REQUEST: Final = ("per_request_input_tokens_limit", "count_tokens_before_request")
"""What only says something of one request, and is for an agent."""


def read_usage_limits(where: str, given: Any, *, of_agent: bool = False) -> WorkLimits | None:
    """Return *given* as the limits of a piece of work: pydantic-ai's `UsageLimits`, or a mapping.

    Raises `BadUsageLimits`. The 50 requests that a `UsageLimits` allows by default are meant for one
    run of an agent: where it has another limit, they are not one here. In a mapping, they are.
    *of_agent* says that it is an agent's, of which the model library minds what is about one request.
    """
    if given is None or isinstance(given, WorkLimits):
        return given
    if isinstance(given, Mapping):
        return _from_mapping(where, cast("Mapping[Any, Any]", given), of_agent)
    if not all(hasattr(given, name) for name in NAMES):
        raise BadUsageLimits(where, f"{shown(given, 200)} has no limits")
    values = {name: getattr(given, name) for name in NAMES}
    for name in _OF_ONE_REQUEST:
        if getattr(given, name, None) and not of_agent:
            raise BadUsageLimits(where, f"{name} is about one request; give it to the agent")
    others = any(value is not None for name, value in values.items() if name != "request_limit")
    if others and values["request_limit"] == DEFAULT_REQUEST_LIMIT:
        values["request_limit"] = None
    return _checked(where, values)


def _from_mapping(where: str, given: Mapping[Any, Any], of_agent: bool) -> WorkLimits | None:
    for name in given:
        if name in _OF_ONE_REQUEST:
            if of_agent:
                continue
            raise BadUsageLimits(where, f"{name} is about one request; give it to the agent")
        if name not in NAMES:
            raise BadUsageLimits(where, f"{name!r} is not a limit. {near_names(str(name), NAMES)}")
    return _checked(where, {name: given[name] for name in NAMES if name in given})


def _checked(where: str, values: dict[str, Any]) -> WorkLimits | None:
    for name, value in values.items():
        if value is None:
            continue
        if name == "cost_limit":
            values[name] = _price(where, value)
        elif isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise BadUsageLimits(where, f"{name} is a number from 0 on, not {shown(value, 200)}")
    limits = WorkLimits(**values)
    return limits if limits != WorkLimits() else None


def _price(where: str, value: Any) -> Decimal:
    try:
        if isinstance(value, bool):
            raise TypeError
        price = value if isinstance(value, Decimal) else Decimal(str(value))
        if price.is_nan() or price < 0:
            raise ValueError
    except (InvalidOperation, TypeError, ValueError):
        problem = f"cost_limit is a number of US dollars, not {shown(value, 200)}"
        raise BadUsageLimits(where, problem) from None
    return price


__all__ = ["BadUsageLimits", "UsageLimitReached", "WorkLimits", "read_usage_limits"]
