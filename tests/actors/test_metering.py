"""Meters: what counts where, what is refused, and how limits are read."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from agenticaiframework.actors import (
    NO_USAGE,
    Meter,
    Usage,
    UsageLimitReached,
    WorkLimits,
    current_meter,
    enter_meter,
    leave_meter,
    metered,
    open_meter,
    read_usage_limits,
)
from agenticaiframework.actors import BadUsageLimits as Bad

ONE = Usage(requests=1, input_tokens=90, output_tokens=10, cost=Decimal("0.001"))


def request(meter: Meter, usage: Usage = ONE) -> None:
    meter.begin_request()
    meter.end_request(usage)


def test_a_request_counts_in_every_meter_around_it() -> None:
    outer = Meter("workflow", "digest")
    inner = Meter("agent", "reader", outer)
    request(inner)
    request(inner)
    assert inner.spent == outer.spent == ONE + ONE


def test_a_request_under_way_counts_as_not_measured() -> None:
    meter = Meter("agent", "reader")
    meter.begin_request()
    assert meter.spent == Usage(requests=1, unmeasured_requests=1)
    meter.end_request(ONE)
    assert meter.spent == ONE


def test_a_total_counts_what_its_agent_spends_itself() -> None:
    lead, helper = Meter("agent", "lead"), Meter("agent", "helper")
    answer = Meter("agent", "lead")
    answer.totals = (lead,)
    nested = Meter("agent", "helper", answer)
    nested.totals = (helper,)
    request(answer)
    request(nested)
    request(Meter("block", "in a tool", answer))
    assert (lead.spent, helper.spent) == (ONE + ONE, ONE)
    assert answer.spent.requests == 3


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (WorkLimits(request_limit=2), "request_limit"),
        (WorkLimits(total_tokens_limit=200), "total_tokens_limit"),
        (WorkLimits(input_tokens_limit=100), "input_tokens_limit"),
        (WorkLimits(output_tokens_limit=20), "output_tokens_limit"),
        (WorkLimits(cost_limit=Decimal("0.002")), "cost_limit"),
    ],
)
def test_the_request_behind_a_limit_is_refused(limits: WorkLimits, limit: str) -> None:
    outer = Meter("team", "desk", None, limits)
    inner = Meter("agent", "reader", outer)
    request(inner)
    request(inner)
    with pytest.raises(UsageLimitReached) as caught:
        inner.begin_request()
    error = caught.value
    assert (error.kind, error.name, error.limit, error.spent) == ("team", "desk", limit, ONE + ONE)
    assert error.spent_by == {"reader": ONE + ONE}
    assert error.expected
    assert inner.spent == ONE + ONE, "what was refused was not sent"


def test_requests_under_way_do_not_exceed_a_limit_of_requests() -> None:
    meter = Meter("pattern", "panel", None, WorkLimits(request_limit=3))
    for _ in range(3):
        meter.begin_request()
    with pytest.raises(UsageLimitReached):
        meter.begin_request()


def test_a_tool_counts_when_it_returns() -> None:
    meter = Meter("agent", "reader", None, WorkLimits(tool_calls_limit=1))
    asyncio.run(meter.admit_tool())
    meter.end_tool(returned=False)
    assert meter.spent.tool_calls == 0
    asyncio.run(meter.admit_tool())
    assert meter.spent.tool_calls == 0, "it has not returned"
    with pytest.raises(UsageLimitReached) as caught:
        asyncio.run(meter.admit_tool())
    assert caught.value.limit == "tool_calls_limit"
    meter.end_tool(returned=True)
    assert meter.spent.tool_calls == 1


def test_what_a_journal_of_its_own_has_is_told_apart() -> None:
    step = Meter("step", "book")
    part = Meter("workflow", "inner", step, journaled=True)
    request(part)
    request(step)
    assert (step.spent, step.spent_here, part.spent_here) == (ONE + ONE, ONE, ONE)
    step.spend_below(ONE)
    assert (step.spent.requests, step.spent_here) == (3, ONE)


def test_an_answer_from_a_record_counts_beneath_what_has_it_counted() -> None:
    step = Meter("step", "book")
    answer = Meter("agent", "reader", step)
    answer.spend_again(ONE, step)
    assert (answer.spent, step.spent) == (ONE, NO_USAGE)


def test_a_block_counts_what_tasks_and_threads_in_it_spend() -> None:
    def here() -> None:
        meter = current_meter()
        assert meter is not None
        request(meter)

    async def task() -> None:
        here()

    async def main() -> None:
        here()
        await asyncio.gather(task(), asyncio.to_thread(here))

    with metered("outside") as outside, metered("inside") as inside:
        asyncio.run(main())
    assert inside.spent == outside.spent == ONE + ONE + ONE
    assert current_meter() is None


def test_a_meter_can_be_put_in_force_by_hand() -> None:
    meter = open_meter("block", "by hand")
    token = enter_meter(meter)
    assert current_meter() is meter
    leave_meter(token)
    assert current_meter() is None


def limits(**given: Any) -> Any:
    """Return what has the fields of pydantic-ai's `UsageLimits`, with its defaults."""
    fields = dict.fromkeys(
        (
            "input_tokens_limit",
            "output_tokens_limit",
            "total_tokens_limit",
            "tool_calls_limit",
            "cost_limit",
            "per_request_input_tokens_limit",
        )
    )
    return SimpleNamespace(
        **{**fields, "request_limit": 50, "count_tokens_before_request": False, **given}
    )


def test_limits_are_read_from_an_object_or_a_mapping() -> None:
    assert read_usage_limits("x", None) is None
    assert read_usage_limits("x", {}) is None
    assert read_usage_limits("x", {"request_limit": 50}) == WorkLimits(request_limit=50)
    assert read_usage_limits("x", {"cost_limit": 0.5}) == WorkLimits(cost_limit=Decimal("0.5"))
    read = read_usage_limits("x", {"total_tokens_limit": 9, "cost_limit": "0.10"})
    assert read is not None
    assert read_usage_limits("x", read.to_dict()) == read


def test_the_default_of_fifty_requests_is_no_limit_beside_another() -> None:
    assert read_usage_limits("x", limits()) == WorkLimits(request_limit=50)
    assert read_usage_limits("x", limits(total_tokens_limit=9)) == WorkLimits(total_tokens_limit=9)
    both = {"request_limit": 50, "total_tokens_limit": 9}
    assert read_usage_limits("x", both) == WorkLimits(request_limit=50, total_tokens_limit=9)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"total_token_limit": 9}, "'total_tokens_limit'"),
        ({"request_limit": "9"}, "request_limit is a number"),
        ({"request_limit": -1}, "request_limit is a number"),
        ({"request_limit": True}, "request_limit is a number"),
        ({"cost_limit": "cheap"}, "cost_limit is a number"),
        (20_000, "20000 has no limits"),
        (limits(per_request_input_tokens_limit=9), "give it to the agent"),
    ],
)
def test_a_wrong_limit_is_refused_with_a_form_that_works(given: Any, said: str) -> None:
    with pytest.raises(Bad) as caught:
        read_usage_limits("workflow 'w'", given)
    text = str(caught.value)
    assert said in text
    assert "usage_limits of workflow 'w'" in text
    assert "UsageLimits(" in text
