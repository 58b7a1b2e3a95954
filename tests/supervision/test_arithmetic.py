"""The restart window, the backoff and the causes, as arithmetic."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenticaiframework.supervision import Backoff, BackoffType
from agenticaiframework.supervision.policy import backoff as backoff_module
from agenticaiframework.supervision.policy import intensity as intensity_module
from agenticaiframework.supervision.policy.intensity import (
    RestartWindow,
    allows,
    cause_token,
    recent,
)
from agenticaiframework.supervision.supervisors import partition_supervisor as partition_module


@pytest.mark.parametrize("module", [backoff_module, intensity_module, partition_module])
def test_the_examples_in_the_documentation_hold(module: Any) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def test_a_restart_made_exactly_one_period_ago_still_counts() -> None:
    window = RestartWindow(1, 5.0)
    assert window.admit(0.0)
    assert not window.admit(5.0)
    assert window.admit(5.001)


def test_intensity_zero_allows_nothing() -> None:
    assert not RestartWindow(0, 5.0).admit(0.0)


def test_what_is_refused_does_not_count() -> None:
    window = RestartWindow(1, 5.0)
    assert window.admit(0.0)
    assert not window.admit(4.0)
    assert window.admit(5.5)


@given(st.lists(st.integers(0, 30), max_size=40).map(sorted), st.integers(0, 6), st.integers(1, 12))
def test_the_window_decides_as_the_plain_list_of_all_restarts(
    times: list[int], intensity: int, period: int
) -> None:
    window = RestartWindow(intensity, period)
    made: list[float] = []
    for now in times:
        wanted = allows(made, now, intensity, period)
        assert window.admit(now) == wanted
        if wanted:
            made.append(now)
        assert window.count(now) == len(recent(made, now, period))


def test_a_storm_with_one_cause_is_one_event() -> None:
    window = RestartWindow(2, 10.0)
    assert all(window.admit(1.0, child, "store lost") for child in range(200))
    assert window.count(1.0) == 1
    assert window.admit(1.0, "somebody else")
    assert not window.admit(1.0, "one too many")


def test_a_cause_that_does_not_go_away_uses_up_the_budget() -> None:
    window = RestartWindow(3, 10.0)
    rounds = [all(window.admit(0.0, child, "token") for child in "abc") for _ in range(3)]
    assert rounds == [True, True, True]
    assert not window.admit(0.0, "a", "token")


def test_the_same_cause_in_another_period_is_another_event() -> None:
    window = RestartWindow(1, 10.0)
    assert window.admit(0.0, "a", "token")
    assert window.admit(10.0, "b", "token")
    assert window.admit(10.5, "c", "token")
    assert window.count(10.5) == 1
    assert not window.admit(10.6, "d", "other")


def test_causes_that_are_over_are_forgotten() -> None:
    window = RestartWindow(10**6, 1.0)
    for now in range(1000):
        window.admit(float(now * 2), "child", f"token {now}")
    assert window._storms is not None
    assert len(window._storms) == 1


def test_the_token_is_found_on_the_error_its_causes_and_in_a_shutdown_reason() -> None:
    class NodeLost(Exception):
        cause_token = ("node", "n1")

    outer = RuntimeError("outer")
    outer.__cause__ = NodeLost()
    assert cause_token(NodeLost()) == ("node", "n1")
    assert cause_token(outer) == ("node", "n1")
    assert cause_token(("shutdown", NodeLost())) == ("node", "n1")
    assert cause_token("killed") is None
    assert cause_token(ValueError("x")) is None
    assert cause_token(()) is None


def test_a_chain_of_causes_that_bites_its_tail_ends() -> None:
    one, two = ValueError(1), ValueError(2)
    one.__cause__, two.__cause__ = two, one
    assert cause_token(one) is None


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (BackoffType.FIXED, [0.1, 0.1, 0.1, 0.1]),
        (BackoffType.LINEAR, [0.1, 0.2, 0.3, 0.35]),
        (BackoffType.EXPONENTIAL, [0.1, 0.2, 0.35, 0.35]),
    ],
)
def test_delays_grow_to_their_cap(kind: BackoffType, wanted: list[float]) -> None:
    backoff = Backoff(kind, 0.1, max_delay_s=0.35)
    assert [backoff.delay_s(n) for n in range(4)] == pytest.approx(wanted)


@given(
    st.sampled_from(BackoffType),
    st.floats(0, 100),
    st.floats(0, 100),
    st.floats(0, 1),
    st.integers(0, 10**9),
    st.floats(0, 1),
)
def test_a_delay_is_never_negative_and_never_over_its_cap(
    kind: BackoffType, initial: float, cap: float, jitter: float, earlier: int, chance: float
) -> None:
    delay = Backoff(kind, initial, cap, jitter).delay_s(earlier, chance)
    assert 0 <= delay <= cap


def test_jitter_takes_away_at_most_its_part() -> None:
    backoff = Backoff(BackoffType.FIXED, 10.0, jitter=0.25)
    assert backoff.delay_s(0, chance=1.0) == 7.5
    assert backoff.delay_s(0, chance=0.0) == 10.0
