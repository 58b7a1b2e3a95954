"""Limits of usage between an agent of ours and a run of pydantic-ai."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, cast

from agenticaiframework.actors import (
    NO_USAGE,
    ModelSpec,
    UsageLimitReached,
    current_meter,
)

_LIMIT: Final = re.compile(r"\b(\w+_limit)\b")


def limits_for_run(spec: ModelSpec) -> Any:
    """Return the limits of *spec* as pydantic-ai takes them for one run.

    It minds them for what the run itself asks, and what is about one request; the meters of this library
    for what is asked beneath it too.
    """
    given = spec.usage_limits
    if not isinstance(given, Mapping):
        return given
    from pydantic_ai.usage import UsageLimits

    fields = dict(cast("Mapping[str, Any]", given))
    cost = fields.get("cost_limit")
    if cost is not None:
        fields["cost_limit"] = Decimal(str(cost))
    return UsageLimits(**fields)


def limit_reached(error: BaseException, spec: ModelSpec) -> UsageLimitReached | None:
    """Return the error to raise where *error* is pydantic-ai's of a limit that a run has reached."""
    from pydantic_ai.exceptions import UsageLimitExceeded

    if not isinstance(error, UsageLimitExceeded):
        return None
    found = _LIMIT.search(str(error))
    limit = "request_limit" if found is None else found[1]
    allowed = getattr(limits_for_run(spec), limit, None)
    meter = current_meter()
    spent = NO_USAGE if meter is None else meter.spent
    if allowed is None:  # its own default
        numbers = re.findall(r"\d+", str(error))
        allowed = int(numbers[0]) if numbers else 0
    return UsageLimitReached(
        "agent", spec.agent, limit, allowed, spent, {spec.agent: spent}, of_one_answer=True
    )


__all__ = ["limit_reached", "limits_for_run"]
