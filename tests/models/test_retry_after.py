from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem
from agenticaiframework.actors.refusals import read_retry_after
from agenticaiframework.models.providers.retry_after import with_retry_after
from agenticaiframework.orchestration import (
    PatternFailed,
    RateLimiter,
    SequentialOrchestration,
)
from agenticaiframework.patterns.vocabulary.causes import retry_after_s

sys.path.insert(0, str(Path(__file__).parent))
from provider import Reply, fault, provider

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "20"}, 20.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"RETRY-AFTER": "-3"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90.0),
        ({"retry-after": format_datetime(NOW - timedelta(seconds=90), usegmt=True)}, 0.0),
        (
            {
                "retry-after": format_datetime(NOW + timedelta(hours=1, seconds=7), usegmt=True),
                "date": format_datetime(NOW + timedelta(hours=1), usegmt=True),
            },
            7.0,
        ),
        ({"retry-after": "soon"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20ms"}, 0.02),
        ({"X-RateLimit-Remaining-Tokens": "0", "X-RateLimit-Reset-Tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h1m1.5s"}, 3661.5),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"x-ratelimit-remaining-tokens": "0"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon"}, None),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:40Z",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-01-01T00:01:00Z",
                "anthropic-ratelimit-output-tokens-remaining": "100",
                "anthropic-ratelimit-output-tokens-reset": "2026-01-01T01:00:00Z",
            },
            60.0,
        ),
        (
            {
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": str(int(NOW.timestamp() * 1000) + 5_000),
            },
            5.0,
        ),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "12"}, 12.0),
        ({"retry-after": "3", "ratelimit-remaining": "0", "ratelimit-reset": "12"}, 3.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_the_header_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert read_retry_after(headers, NOW) == seconds


class Refused(Exception):
    """An error as an SDK raises it."""

    def __init__(self, status_code: int, headers: dict[str, str]) -> None:
        super().__init__(f"status {status_code}")
        self.response = type("Response", (), {"status_code": status_code, "headers": headers})()


def test_the_sdks_error_below_says_it_too() -> None:
    error = RuntimeError("the model did not answer")
    error.__cause__ = Refused(503, {"Retry-After": "4"})
    with_retry_after(error)
    assert retry_after_s(error) == 4.0


def test_of_several_models_the_first_that_is_free_again_counts() -> None:
    group = ExceptionGroup(
        "all failed",
        [
            Refused(429, {"Retry-After": "9"}),
            ValueError("no"),
            Refused(429, {"Retry-After": "5"}),
        ],
    )
    with_retry_after(group)
    assert retry_after_s(group) == 5.0


def test_what_says_nothing_stays_as_it_is() -> None:
    error = Refused(200, {"Retry-After": "4"})
    with_retry_after(error)
    assert retry_after_s(error) == 0.0
    assert not hasattr(error, "retry_after_s")


@asynccontextmanager
async def hosted(url: str) -> AsyncGenerator[Agent, None]:
    """Give an agent whose model is at *url*, asked through a client that does not retry by itself."""
    pytest.importorskip("pydantic_ai")
    openai = pytest.importorskip("openai")
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    async with openai.AsyncOpenAI(base_url=url, api_key="sesame", max_retries=0) as client:
        model = OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(openai_client=client))
        yield Agent("writer", model=model, instructions="Write")


def _refusing_once(status: int, headers: dict[str, str]) -> Callable[[Any], str | Reply]:
    answers: list[str | Reply] = [fault(status, headers=headers)]
    return lambda _: answers.pop() if answers else "at last"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_retry_policy_waits_as_long_as_the_provider_asks(status: int, form: str) -> None:
    headers = {"Retry-After": "1"}
    if form == "date":
        then = datetime(2026, 1, 1, tzinfo=UTC)
        # The server's clock is off; its answer says by how much, and only the difference counts.
        headers = {"Retry-After": format_datetime(then + timedelta(seconds=1), usegmt=True)}
        headers["Date"] = format_datetime(then, usegmt=True)

    async def main() -> tuple[Any, float]:
        async with ActorSystem() as system, hosted(server.url) as writer:
            pattern = SequentialOrchestration(
                name="ask",
                steps=[{"agent": writer, "retry": {"attempts": 2, "initial_delay_s": 0}}],
            )
            before = system.clock()
            return await pattern.execute("a poem"), system.clock() - before

    with provider(_refusing_once(status, headers)) as server:
        answer, waited_s = asyncio.run(main())
    assert answer == "at last"
    assert len(server.seen) == 2
    assert waited_s >= 1.0


def test_a_shared_limiter_holds_everybody_back_for_a_provider() -> None:
    async def main() -> tuple[float, Any]:
        async with ActorSystem() as system, hosted(server.url) as writer:
            first = RateLimiter(name="one", agent=writer, rate=1000, limiter="provider")
            second = RateLimiter(name="two", agent=writer, rate=1000, limiter="provider")
            with pytest.raises(PatternFailed) as failed:
                await first.execute("a poem")
            assert retry_after_s(failed.value) == 1.0
            before = system.clock()
            answer = await second.execute("a poem")
            return system.clock() - before, answer

    with provider(_refusing_once(429, {"Retry-After": "1"})) as server:
        waited_s, answer = asyncio.run(main())
    assert answer == "at last"
    assert len(server.seen) == 2
    assert waited_s >= 0.9
