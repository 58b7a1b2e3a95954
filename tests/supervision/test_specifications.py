"""Flags and child specifications: what is refused, in which order, and how it is said."""

from __future__ import annotations

from typing import Any

import pytest

from agenticaiframework.actors import Actor
from agenticaiframework.supervision import (
    AutoShutdown,
    BadOption,
    ChildSpec,
    ChildType,
    FlagError,
    FlagProblem,
    RestartPolicy,
    RestartType,
    SpecError,
    SpecProblem,
    SupervisionStrategy,
    SupervisorFlags,
    check_child_specs,
)
from agenticaiframework.supervision.policy.child_spec import check_child_spec
from agenticaiframework.supervision.policy.flags import check_flags


class Worker(Actor):
    def on_receive(self, message: Any) -> Any:
        return message


def test_flags_default_to_those_of_otp() -> None:
    flags = SupervisorFlags()
    assert (flags.strategy, flags.intensity, flags.period_s, flags.auto_shutdown) == (
        "one_for_one",
        1,
        5,
        "never",
    )


@pytest.mark.parametrize(
    ("given", "problem", "value"),
    [
        (
            {"strategy": "none_for_one", "intensity": -1},
            FlagProblem.INVALID_STRATEGY,
            "none_for_one",
        ),
        ({"intensity": -1, "period_s": 0}, FlagProblem.INVALID_INTENSITY, -1),
        ({"intensity": True}, FlagProblem.INVALID_INTENSITY, True),
        ({"period_s": 0, "auto_shutdown": "sometimes"}, FlagProblem.INVALID_PERIOD, 0),
        ({"period_s": float("inf")}, FlagProblem.INVALID_PERIOD, float("inf")),
        ({"auto_shutdown": "sometimes"}, FlagProblem.INVALID_AUTO_SHUTDOWN, "sometimes"),
        ({"strategie": "one_for_all"}, FlagProblem.UNKNOWN_KEY, "strategie"),
    ],
)
def test_the_first_wrong_flag_is_the_one_that_is_told(
    given: dict[str, Any], problem: FlagProblem, value: Any
) -> None:
    assert check_flags(given) == FlagError(problem, value)


def test_flags_that_are_none_are_refused() -> None:
    assert check_flags(("one_for_one", 1, 5)) == FlagError(
        FlagProblem.NOT_FLAGS, ("one_for_one", 1, 5)
    )


def test_wrong_flags_in_code_raise_with_the_near_word() -> None:
    with pytest.raises(BadOption, match=r"one_for_al.*Did you mean 'one_for_all'"):
        SupervisorFlags("one_for_al")  # type: ignore[arg-type]


def test_a_specification_gets_otps_defaults() -> None:
    worker = ChildSpec("w", Worker)
    assert (worker.restart, worker.shutdown_ms, worker.type) == ("permanent", 5000, "worker")
    assert worker.modules == (Worker.__module__,)
    supervisor = ChildSpec("s", Worker, type=ChildType.SUPERVISOR)
    assert supervisor.shutdown_ms == "infinity"


ORDERED: list[tuple[dict[str, Any], SpecProblem]] = [
    ({}, SpecProblem.MISSING_ID),
    ({"id": "a"}, SpecProblem.MISSING_START),
    ({"start": "mfa"}, SpecProblem.INVALID_START),
    ({"restart": "prmanent"}, SpecProblem.INVALID_RESTART),
    ({"significant": True}, SpecProblem.SIGNIFICANT_WITHOUT_AUTO_SHUTDOWN),
    ({"significant": "maybe"}, SpecProblem.INVALID_SIGNIFICANT),
    ({"type": "wrker"}, SpecProblem.INVALID_TYPE),
    ({"shutdown_ms": -10}, SpecProblem.INVALID_SHUTDOWN),
    ({"modules": 5}, SpecProblem.INVALID_MODULES),
    ({"start_timeout_s": 0}, SpecProblem.INVALID_START_TIMEOUT),
    ({"retsart": "permanent"}, SpecProblem.UNKNOWN_KEY),
]


def test_mistakes_are_looked_for_in_otps_order() -> None:
    # Each specification has its own mistake and all later ones: its own must be found.
    for place, (own, problem) in enumerate(ORDERED):
        given: dict[str, Any] = {}
        for later, _ in reversed(ORDERED[place:]):
            given.update(later)
        if place > 0:
            given["id"] = "a"
        if place > 1 and "start" not in own:
            given["start"] = Worker
        if place < 2:
            given = {key: value for key, value in given.items() if key != "start"}
        if place == 0:
            del given["id"]
        found = check_child_spec(given, AutoShutdown.NEVER)
        assert isinstance(found, SpecError)
        assert found.problem is problem


def test_a_permanent_child_cannot_be_significant() -> None:
    found = check_child_spec(
        {"id": "a", "start": Worker, "significant": True}, AutoShutdown.ANY_SIGNIFICANT
    )
    assert found == SpecError(SpecProblem.SIGNIFICANT_AND_PERMANENT)


def test_a_significant_child_is_checked_against_the_supervisor_it_is_given_to() -> None:
    spec = ChildSpec("a", Worker, restart=RestartType.TRANSIENT, significant=True)
    assert check_child_spec(spec) is spec
    assert check_child_spec(spec, AutoShutdown.ANY_SIGNIFICANT) is spec
    assert isinstance(check_child_spec(spec, AutoShutdown.NEVER), SpecError)


@pytest.mark.parametrize("start", [int, (), (int, 1), (5,), None, "mfa"])
def test_what_starts_nothing_is_refused(start: Any) -> None:
    with pytest.raises(BadOption, match="starts nothing"):
        ChildSpec("a", start)


@pytest.mark.parametrize("shutdown", [0, 1, "infinity", "brutal_kill"])
def test_shutdown_times_that_otp_takes(shutdown: Any) -> None:
    assert ChildSpec("a", Worker, shutdown_ms=shutdown).shutdown_ms == shutdown


@pytest.mark.parametrize("shutdown", [-1, 1.5, True, "soon"])
def test_shutdown_times_that_otp_refuses(shutdown: Any) -> None:
    with pytest.raises(BadOption, match="shutdown_ms"):
        ChildSpec("a", Worker, shutdown_ms=shutdown)


def test_wrong_words_in_code_raise_with_the_child_and_the_near_word() -> None:
    with pytest.raises(BadOption, match=r"child 'db'.*transient") as caught:
        ChildSpec("db", Worker, restart="transiant")  # type: ignore[arg-type]
    assert caught.value.error.problem is SpecProblem.INVALID_RESTART


def test_an_id_given_twice_is_found() -> None:
    specs = [ChildSpec("a", Worker), ChildSpec("b", Worker), ChildSpec("a", Worker)]
    assert check_child_specs(specs) == SpecError(SpecProblem.DUPLICATE, "a")
    assert check_child_specs("ab") == SpecError(SpecProblem.NOT_A_SPEC, "ab")
    assert check_child_specs([ChildSpec("a", Worker), 5]) == SpecError(SpecProblem.NOT_A_SPEC, 5)


def test_plain_words_and_members_are_the_same() -> None:
    assert SupervisorFlags("rest_for_one").strategy is SupervisionStrategy.REST_FOR_ONE  # type: ignore[arg-type]
    assert ChildSpec("a", Worker, restart="temporary").restart is RestartType.TEMPORARY  # type: ignore[arg-type]


def test_a_restart_policy_is_the_pages() -> None:
    policy = RestartPolicy(
        type=RestartType.PERMANENT,
        max_restarts=5,
        within_seconds=60,
        backoff_type="exponential",
        initial_delay_ms=100,
        max_delay_ms=30000,
    )
    assert [policy.backoff.delay_s(n) for n in (0, 1, 2, 20)] == pytest.approx([0.1, 0.2, 0.4, 30])
    assert RestartPolicy().backoff.delay_s(10) == 0
    assert RestartPolicy(initial_delay_ms=50).backoff.delay_s(10) == 0.05
    assert RestartPolicy(backoff_type="linear").backoff.delay_s(1) == 0.2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_restart": 3}, "'max_restart' is not a field of it. Did you mean 'max_restarts'"),
        ({"max_restarts": -1}, "max_restarts=-1"),
        ({"within_seconds": 0}, "within_seconds=0"),
        ({"jitter": 2}, "jitter=2"),
        ({"type": "permanant"}, "type='permanant'"),
        ({"max_restarts": "many", "jitter": -1}, "jitter=-1"),
    ],
)
def test_a_wrong_restart_policy_says_which_field(given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadOption) as caught:
        RestartPolicy(**given)
    assert said in str(caught.value)


def test_a_restart_policy_survives_json() -> None:
    policy = RestartPolicy(max_restarts=2, backoff_type="linear", jitter=0.5)
    assert RestartPolicy(**policy.model_dump(mode="json")) == policy
