"""What was spent: sums, differences, and its form as data."""

from __future__ import annotations

import json
from decimal import Decimal

from agenticaiframework.actors import NO_USAGE, Usage, as_data

ONE = Usage(requests=1, input_tokens=90, output_tokens=10, cost=Decimal("0.0012"))
UNPRICED = Usage(requests=1, input_tokens=5, unpriced_requests=1)


def test_usages_add_up() -> None:
    both = ONE + ONE
    assert (both.requests, both.total_tokens, both.cost) == (2, 200, Decimal("0.0024"))
    assert sum([ONE, ONE]) == both
    assert ONE + NO_USAGE == ONE


def test_a_price_that_is_not_known_is_counted_and_not_guessed() -> None:
    assert (UNPRICED + UNPRICED).cost is None
    both = ONE + UNPRICED
    assert (both.cost, both.unpriced_requests) == (ONE.cost, 1)
    assert str(both) == "2 requests, 105 tokens (95 in, 10 out), at least $0.0012"
    assert str(UNPRICED) == "1 request, 5 tokens (5 in, 0 out), price not known"


def test_what_was_spent_since_is_a_difference() -> None:
    assert (ONE + UNPRICED) - UNPRICED == ONE
    assert ONE - ONE == NO_USAGE


def test_a_usage_goes_through_json_unchanged() -> None:
    for usage in (NO_USAGE, ONE, UNPRICED, ONE + UNPRICED):
        for data in (usage.to_dict(), usage.to_record(), as_data(usage)):
            assert Usage.from_dict(json.loads(json.dumps(data))) == usage
    assert NO_USAGE.to_record() == {}
    assert ONE.to_dict()["total_tokens"] == 100
