"""What errors mean to a caller: the same kinds by every protocol."""

from __future__ import annotations

import pytest

from agenticaiframework.actors import AgenticError
from agenticaiframework.faces.failures import failure_of, refusal_of
from agenticaiframework.patterns.engine import AlreadyAnswered, EngineStopped, UnknownWorkflow
from agenticaiframework.patterns.engine.store import (
    StoreUnavailable,
    ValueNotStorable,
    ValueTooLarge,
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AlreadyAnswered("run-1", "ok"), "bad_input"),
        (ValueTooLarge("the answer", 2**21, 2**20), "bad_input"),
        (UnknownWorkflow("run-1"), "not_found"),
        (EngineStopped("desk"), "unavailable"),
        (StoreUnavailable("db", "writing", "connection refused"), "unavailable"),
    ],
)
def test_an_answer_that_a_run_does_not_take_says_whether_it_is_at_fault(
    error: AgenticError, kind: str
) -> None:
    failure = refusal_of(error).failure
    assert str(failure.kind) == kind
    assert (failure.retry_after_s is None) == (kind != "unavailable")
    assert failure.message == failure_of(error).message


def test_a_value_that_cannot_be_stored_is_the_callers() -> None:
    error = ValueNotStorable("the input", "a set is not JSON")
    assert str(failure_of(error).kind) == "bad_input"
