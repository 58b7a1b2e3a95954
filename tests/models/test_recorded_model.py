"""Recorded providers: real HTTP once, then answers from the file, and nothing else."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")
pytest.importorskip("openai")
pytest.importorskip("vcr")

sys.path.insert(0, str(Path(__file__).parent))
from provider import calls, provider, turns

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, AgentFailed, TextDelta
from agenticaiframework.testing import NotRecorded, RecordingUnreadable, recorded_model

SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz"


def in_system(main: Callable[[], Awaitable[Any]]) -> Any:
    async def inside() -> Any:
        async with ActorSystem(), asyncio.timeout(60):
            return await main()

    return asyncio.run(inside())


def search(query: str) -> str:
    """Search the library."""
    return f"books on {query}"


@pytest.fixture
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


def test_it_is_recorded_once_and_replayed_without_the_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_ci: None
) -> None:
    file = tmp_path / "tapes" / "search.yaml"

    async def work() -> Any:
        agent = Agent("librarian", model="openai:gpt-4o-mini", tools=[search])
        answer = await agent.ask(f"Rivers? My key is {SECRET}")
        texts = [p.text async for p in agent.stream("Lakes?") if isinstance(p, TextDelta)]
        return answer, "".join(texts)

    script = turns(calls(("search", {"query": "x"})), "three books")
    with provider(script) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)
        with recorded_model(file):
            first = in_system(work)
        assert server.counts["requests"] == 4
    assert first == ("three books", "three books")
    text = file.read_text("utf-8")
    assert SECRET not in text
    assert "***" in text
    # The provider is gone.
    monkeypatch.setenv("OPENAI_API_KEY", "another-key")
    with recorded_model(file, record="never"):
        assert in_system(work) == first


def test_a_request_that_is_not_on_the_tape_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_ci: None
) -> None:
    file = tmp_path / "tape.yaml"
    with provider("hello") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)

        async def ask(what: str) -> Any:
            return await Agent("a", model="openai:gpt-4o-mini").ask(what)

        with recorded_model(file):
            assert in_system(lambda: ask("one")) == "hello"
        with recorded_model(file):
            assert in_system(lambda: ask("one")) == "hello"
            with pytest.raises(AgentFailed, match="has no answer to this request: POST") as caught:
                in_system(lambda: ask("two"))
        assert isinstance(caught.value.__cause__, NotRecorded)
        assert server.counts["requests"] == 1
        with recorded_model(file, record="again"):
            assert in_system(lambda: ask("two")) == "hello"
        assert server.counts["requests"] == 2


def test_a_wrong_mode_is_refused_with_the_form_that_works(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="once, never, again"),
        recorded_model(tmp_path / "t.yaml", record="always"),  # type: ignore[arg-type]
    ):
        pass


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "interactions: 3",
        "x: [",
        "interactions: !!python/object/apply:os.putenv [RECORDED_RAN, '1']\nversion: 1\n",
    ],
)
def test_a_damaged_recording_is_named_runs_nothing_and_leaves_no_keys(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tape.yaml"
    file.write_text(text, encoding="utf-8")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with (
        pytest.raises(RecordingUnreadable, match=r"(?s)tape\.yaml.*cannot be read.*Record it anew"),
        recorded_model(file),
    ):
        pass
    assert "OPENAI_API_KEY" not in os.environ
