"""Loop, router and reflection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns import (
    DefinitionError,
    LimitReached,
    LoopOrchestration,
    NoRoute,
    PatternFailed,
    ReflectionOrchestration,
    RouterOrchestration,
    UnexpectedAnswer,
)

from .conftest import left_over


def boom(payload: Any) -> None:
    raise ValueError("no good")


def test_a_loop_feeds_its_own_output_until_it_is_good(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("editor", lambda p: {"score": p["score"] + 1})
        loop = LoopOrchestration("polish", "editor", until="output.score >= 3")
        report = await loop.run({"score": 0})
        assert report.result() == {"score": 3}
        assert list(report.outcomes) == ["editor[1]", "editor[2]", "editor[3]"]
        assert await left_over(system) == []

    sim(main)


def test_a_loop_that_never_ends_is_capped(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("editor", lambda p: p + 1)
        assert await LoopOrchestration("l", "editor", "false", max_iterations=4).execute(0) == 4
        strict = LoopOrchestration("l", "editor", "false", max_iterations=2, exhausted="fail")
        with pytest.raises(LimitReached, match="limit of 2 iterations") as caught:
            await strict.execute(0)
        assert caught.value.completed == {"editor[1]": 1, "editor[2]": 2}
        counted = LoopOrchestration("l", "editor", lambda scope: scope["iteration"] == 3)
        assert await counted.execute(10) == 13

    sim_once(main)


def test_a_loop_whose_body_fails_hangs_or_is_skipped(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("bad", boom)
        with pytest.raises(PatternFailed, match=r"'bad\[1\]' \(iteration 1\)"):
            await LoopOrchestration("l", "bad", "false").execute(0)
        skipping = LoopOrchestration(
            "l", {"agent": "bad", "on_error": "skip"}, "false", max_iterations=3
        )
        assert await skipping.execute("kept") == "kept"
        cast.agent("hang", lambda p: asyncio.sleep(3600))
        with pytest.raises(TimeoutError):
            await LoopOrchestration("l", "hang", "false", timeout=2).execute(0)
        assert await left_over(system) == []

    sim(main)


def test_a_router_takes_the_first_route_that_matches(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.echoes("senior", "big", "junior")
        router = RouterOrchestration(
            "desk",
            [
                {"condition": "input.priority == 'high'", "agent": "senior"},
                {"condition": "amount > 100", "agent": "big"},
                {"condition": "default", "agent": "junior"},
            ],
        )
        await router.execute({"priority": "high", "amount": 500})
        await router.execute({"amount": 500})
        await router.execute({"amount": 5})
        await router.execute("no mapping")
        assert cast.asked == ["senior", "big", "junior", "junior"]

    sim_once(main)


def test_no_route_lists_the_rules(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.echoes("a", "b")
        router = RouterOrchestration(
            "desk", [{"condition": "x == 1", "agent": "a"}, {"condition": "x == 2", "agent": "b"}]
        )
        with pytest.raises(NoRoute, match="x == 1 -> a; x == 2 -> b") as caught:
            await router.execute({"x": 3})
        assert caught.value.rules == ("x == 1 -> a", "x == 2 -> b")
        assert cast.log == []

    sim_once(main)


@pytest.mark.parametrize("answer", ["Billing", {"route": "billing"}])
def test_a_classifier_names_the_route(cast: Any, sim_once: Any, answer: Any) -> None:
    async def main(system: Any) -> None:
        cast.echoes("billing", "support")
        router = RouterOrchestration(
            "desk",
            [{"agent": "support"}, {"agent": "billing"}],
            classifier=lambda message: answer,
        )
        assert await router.execute("my bill") == "billing(my bill)"

    sim_once(main)


def test_a_classifier_that_names_a_stranger(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.echoes("billing", "support")
        routes = [
            {"agent": "support", "condition": "output == 'never'"},
            {"agent": "billing", "condition": "output == 'bilingg'"},
        ]
        router = RouterOrchestration("desk", routes, classifier=lambda m: {"route": "biling"})
        with pytest.raises(UnexpectedAnswer, match="Did you mean 'billing'"):
            await router.execute("m")
        # What it says besides can still be matched by rules.
        by_rule = RouterOrchestration("desk", routes, classifier=lambda m: ["bilingg"])
        with pytest.raises(NoRoute):
            await by_rule.execute("m")
        fallback = RouterOrchestration(
            "desk", [*routes, {"agent": "support", "name": "else"}], classifier=lambda m: "what"
        )
        assert await fallback.execute("m") == "support(m)"

    sim_once(main)


def test_a_failing_classifier_and_a_failing_route(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("bad", boom)
        cast.echoes("good")
        with pytest.raises(PatternFailed, match="the classifier"):
            await RouterOrchestration("r", [{"agent": "good"}], classifier="bad").execute(1)
        with pytest.raises(PatternFailed, match="the route taken"):
            await RouterOrchestration("r", [{"agent": "bad"}]).execute(1)
        spared = RouterOrchestration("r", [{"agent": "bad", "on_error": {"fallback": "good"}}])
        assert await spared.execute(1) == "good(1)"

    sim(main)


def test_a_route_behind_the_default_is_refused() -> None:
    with pytest.raises(DefinitionError, match="after 'a' can never be taken"):
        RouterOrchestration("r", [{"agent": "a"}, {"agent": "b", "condition": "x"}])


def test_the_maker_works_on_until_the_reviewer_accepts(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        def make(payload: Any) -> str:
            return (
                "v1" if payload == "essay" else f"v{payload['round']} after {payload['feedback']}"
            )

        def review(payload: Any) -> Any:
            return {"approved": True} if payload["draft"].startswith("v2") else "too short"

        cast.agent("writer", make)
        cast.agent("critic", review)
        reflection = ReflectionOrchestration("r", "writer", "critic")
        assert await reflection.execute("essay") == "v2 after too short"
        assert cast.payloads("critic")[0] == {"input": "essay", "draft": "v1", "round": 1}
        assert await left_over(system) == []

    sim(main)


def test_reflection_ends_after_its_rounds(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("writer", "draft")
        cast.agent("critic", {"score": 3})
        options: Any = {"accept": "output.score > 8", "max_rounds": 2}
        assert (
            await ReflectionOrchestration("r", "writer", "critic", **options).execute(1) == "draft"
        )
        assert cast.asked == ["writer", "critic"] * 2
        with pytest.raises(LimitReached, match="limit of 2 rounds"):
            await ReflectionOrchestration(
                "r", "writer", "critic", exhausted="fail", **options
            ).execute(1)

    sim_once(main)


def test_a_reviewer_that_fails_or_hangs(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("writer", "draft")
        cast.agent("critic", boom)
        with pytest.raises(PatternFailed, match=r"reviewer critic\[1\].*no good"):
            await ReflectionOrchestration("r", "writer", "critic").execute(1)
        cast.agent("critic", lambda p: asyncio.sleep(3600))
        left_out = ReflectionOrchestration(
            "r", "writer", {"agent": "critic", "timeout": 1, "on_error": "skip"}, max_rounds=2
        )
        assert await left_out.execute(1) == "draft"
        assert await left_over(system) == []

    sim(main)


def test_a_maker_that_is_left_out_has_made_no_draft_to_review(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        answers = [ValueError("busy"), "a draft"]

        def make(payload: Any) -> Any:
            said = answers.pop(0) if answers else ValueError("busy")
            if isinstance(said, Exception):
                raise said
            return said

        cast.agent("maker", make)
        cast.agent("reviewer", lambda p: {"approved": p["round"] == 3})
        pattern = ReflectionOrchestration(
            "essay", maker={"agent": "maker", "on_error": "skip"}, reviewer="reviewer"
        )
        assert await pattern.execute("x") == "a draft"
        # Not in the first round, which had nothing; in the third it saw the second's draft again.
        assert [p["draft"] for p in cast.payloads("reviewer")] == ["a draft", "a draft"]
        with pytest.raises(PatternFailed, match="no draft was made in 3 rounds"):
            await pattern.execute("x")

    sim(main)


@pytest.mark.parametrize("said", ["false", "true", "yes", 1, 1.0, [1], {"a": 1}])
def test_only_the_boolean_true_ends_a_loop_or_accepts_a_draft(
    cast: Any, sim_once: Any, said: Any
) -> None:
    async def main(system: Any) -> None:
        cast.agent("editor", lambda p: {"done": said, "approved": said})
        cast.agent("maker", lambda p: "draft")
        loop = LoopOrchestration("l", "editor", until="output.done", max_iterations=3)
        assert len((await loop.run({})).outcomes) == 3
        for accept in (None, "output.approved", "output.done == true"):
            options = {} if accept is None else {"accept": accept}
            reflection = ReflectionOrchestration("r", "maker", "editor", max_rounds=2, **options)
            assert len((await reflection.run({})).outcomes) == 4

    sim_once(main)
