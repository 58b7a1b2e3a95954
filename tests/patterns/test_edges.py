"""What stands at the edge of each pattern: nothing, too little, the wrong thing, and the odd spelling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, ModelFields
from agenticaiframework.patterns import (
    ChoreographyOrchestration,
    DefinitionError,
    Delegate,
    Emit,
    HierarchicalOrchestration,
    LoopOrchestration,
    MapReduceOrchestration,
    ParallelOrchestration,
    PatternFailed,
    PatternTimedOut,
    ReflectionOrchestration,
    RouterOrchestration,
    SagaOrchestration,
    SequentialOrchestration,
    UnexpectedAnswer,
    VoteOrchestration,
    quorum,
)


async def same(payload: Any) -> Any:
    return payload


async def boom(payload: Any) -> Any:
    raise ValueError("boom")


@pytest.mark.parametrize("join", ["first", quorum(1)])
def test_nobody_wins_a_race_over_an_empty_list(sim_once: Any, join: Any) -> None:
    async def main(system: ActorSystem) -> None:
        race = ParallelOrchestration("race", [same], for_each="xs", join=join)
        with pytest.raises(PatternFailed, match="no branch completed"):
            await race.execute({"xs": []})
        for join_all in ("all", "collect"):
            every = ParallelOrchestration("every", [same], for_each="xs", join=join_all)
            assert await every.execute({"xs": []}) == []

    sim_once(main)


def test_for_each_takes_whatever_has_items(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        every = ParallelOrchestration("every", [same], for_each="xs")
        for items in ([0, 1], (0, 1), range(2), iter([0, 1]), {0: "a", 1: "b"}.keys()):
            assert await every.execute({"xs": items}) == [0, 1]
        for wrong in ("ab", {"a": 1}, 7, None):
            with pytest.raises(UnexpectedAnswer, match="the input has to be a list under 'xs'"):
                await every.execute({"xs": wrong})

    sim_once(main)


def test_a_limit_that_is_used_up_asks_nobody(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.echoes("a")
        pattern = SequentialOrchestration("s", ["a"])
        for nothing_left in (0, -1.5):
            with pytest.raises(PatternTimedOut):
                await pattern.execute("x", timeout=nothing_left)
        assert cast.asked == []
        for wrong in ("5", True, float("nan")):
            with pytest.raises(DefinitionError, match="a number of seconds is needed"):
                await pattern.execute("x", timeout=wrong)  # type: ignore[arg-type]

    sim_once(main)


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        (SequentialOrchestration("p", [{"agent": same, "condition": "input > 3"}]), "same"),
        (SequentialOrchestration("p", [{"agent": same, "stop_if": "output > 3"}]), "same"),
        (ParallelOrchestration("p", [{"agent": same, "condition": "input > 3"}]), "same"),
        (LoopOrchestration("p", same, "output > 3"), r"same\[1\]"),
        (LoopOrchestration("p", same, lambda scope: scope["score"] > 3), r"same\[1\]"),
        (RouterOrchestration("p", [{"agent": same, "condition": "input > 3"}]), "same"),
        (ReflectionOrchestration("p", same, same, accept="draft > 3"), r"reviewer same\[1\]"),
        (
            HierarchicalOrchestration(
                "p",
                {"agent": same, "name": "root"},
                [{"parent": "root", "children": [same], "condition": "input > 3"}],
            ),
            "root -> same",
        ),
    ],
)
def test_a_condition_that_cannot_be_told_is_named(sim_once: Any, pattern: Any, named: str) -> None:
    async def main(system: ActorSystem) -> None:
        with pytest.raises(PatternFailed, match=f"the condition of '{named}' cannot be told"):
            await pattern.execute("text")

    sim_once(main)


def test_of_several_routes_without_a_condition_a_classifier_has_to_name_one(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        routes = [{"agent": boom, "name": "one"}, {"agent": same, "name": "two"}]
        said: list[Any] = []
        router = RouterOrchestration("r", routes, classifier=lambda payload: said[0])
        said[:] = ["two"]
        assert await router.execute("x") == "x"
        for wrong in ("tow", {"result": "two"}, None):
            said[:] = [wrong]
            with pytest.raises(UnexpectedAnswer, match="the name of a route"):
                await router.execute("x")
        routes[1]["condition"] = "default"
        router = RouterOrchestration("r", routes, classifier=lambda payload: "neither")
        assert await router.execute("x") == "x"

    sim_once(main)


def test_routes_and_the_steps_of_a_saga_may_be_bare_agents(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.echoes("a", "b")
        router = RouterOrchestration("r", ["a", "b"], classifier=lambda payload: "b")
        assert await router.execute("x") == "b(x)"
        assert await SagaOrchestration("s", ["a", "b"]).execute("x") == "b(a(x))"

    sim_once(main)


def test_a_saga_undoes_no_step_that_a_default_stood_in_for(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.echoes("undo one", "undo two")
        steps = [
            {"agent": same, "compensate": "undo one"},
            {"agent": boom, "on_error": {"default": 1}, "compensate": "undo two"},
            {"agent": boom, "name": "last"},
        ]
        with pytest.raises(PatternFailed):
            await SagaOrchestration("s", steps).execute("x")
        assert cast.asked == ["undo one"]

    sim_once(main)


def test_a_saga_that_took_too_long_says_so_to_those_who_undo_it(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("undo")
        cast.agent("slow", lambda payload: asyncio.sleep(60))
        steps = [{"agent": same, "compensate": "undo"}, "slow"]
        with pytest.raises(PatternTimedOut):
            await SagaOrchestration("s", steps, timeout=1).execute("x")
        assert cast.payloads("undo")[0]["error"] == "'s' took longer than its 1 s"

    sim_once(main)


def test_a_manager_that_delegates_picks_also_where_no_rule_says_so(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        cast.echoes("a", "b")
        answers: list[Any] = []
        cast.agent("boss", lambda task: answers[0])
        rules = [{"parent": "boss", "children": ["a", "b"]}]
        answers[:] = [Delegate({"b": "part"}, answer="mine")]
        result = await HierarchicalOrchestration("h", "boss", rules).execute("all")
        assert result == {"boss": "mine", "b": "b(part)"}
        rules = [{"parent": "boss", "children": ["a", "b"], "pick": True}]
        for junk in (7, [{"task": "part"}], ["c"]):
            answers[:] = [{"delegate": junk}]
            with pytest.raises(UnexpectedAnswer, match=r"children of its own, not .*\. .*'a'"):
                await HierarchicalOrchestration("h", "boss", rules).execute("all")

    sim_once(main)


def test_a_delegation_rule_sees_the_tasks_fields_by_themselves_too(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        cast.echoes("root", "child")
        rules = [{"parent": "root", "children": ["child"], "condition": "priority == 'high'"}]
        hierarchy = HierarchicalOrchestration("h", "root", rules)
        assert list(await hierarchy.execute({"priority": "high"})) == ["root", "child"]
        assert list(await hierarchy.execute({"priority": "low"})) == ["root"]

    sim_once(main)


def test_a_model_may_emit_several_events(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        said: list[Any] = []
        choreography = ChoreographyOrchestration(
            "c", event_handlers={"go": lambda data: said[0], "a": same, "b and c": same}
        )
        for emit, data in (
            (["b", "c"], {"b": 7, "c": 7}),
            ([{"event": "b", "data": 1}, {"event": "c", "data": 2}], {"b": 1, "c": 2}),
        ):
            said[:] = [ModelFields(emit=emit, data=7)]
            reaction = await choreography.emit_event("go")
            assert reaction.results["same"] == data
        said[:] = [ModelFields(emit={"event": "a", "data": 3})]
        assert (await choreography.emit_event("go")).results["same"] == 3

    sim_once(main)


def test_an_event_without_a_name_is_refused(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        choreography = ChoreographyOrchestration(
            "c", event_handlers={"go": lambda data: Emit(data), "*": same}
        )
        for wrong in (None, "", 3):
            with pytest.raises(DefinitionError, match="its name is a non-empty text"):
                await choreography.emit_event(wrong)  # type: ignore[arg-type]
            reaction = await choreography.emit_event("go", wrong)
            assert list(reaction.failed) == ["<lambda>"]

    sim_once(main)


def test_a_condition_that_cannot_be_told_fails_its_own_turn_of_a_choreography_only(
    sim_once: Any,
) -> None:
    async def main(system: ActorSystem) -> None:
        choreography = ChoreographyOrchestration(
            "c",
            event_handlers={
                "go": [{"agent": same, "condition": "input > 3", "name": "picky"}, same]
            },
        )
        reaction = await choreography.emit_event("go", "text")
        assert reaction.results == {"same": "text"}
        assert list(reaction.failed) == ["picky"]
        with pytest.raises(PatternFailed, match="'picky'"):
            await choreography.execute(Emit("go", "text"))

    sim_once(main)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start_event": "goo"}, "start_event='goo' has no handler. Did you mean 'go'"),
        ({"event_types": {"go": "Order"}}, "'Order' is a text, and a type is needed"),
    ],
)
def test_a_choreography_that_cannot_work_is_refused(options: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        ChoreographyOrchestration("c", event_handlers={"go": same}, **options)


def test_types_may_be_given_for_events_by_wildcard(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        choreography = ChoreographyOrchestration(
            "c", event_handlers={"n.*": same}, event_types={"n.*": int, "n.text": str}
        )
        assert (await choreography.emit_event("n.one", "1")).results == {"same": 1}
        assert (await choreography.emit_event("n.text", "1")).results == {"same": "1"}
        with pytest.raises(DefinitionError):
            await choreography.emit_event("n.one", "x")

    sim_once(main)


def test_equal_positions_are_one_however_they_are_written(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        for one, two in (({"a": 1, "b": [2]}, {"b": [2.0], "a": 1}), (3, 3.0), ("Yes", " yes")):
            positions = [one, two]
            voters = [
                {"agent": lambda payload, p=position: p, "name": f"v{i}"}
                for i, position in enumerate(positions)
            ]
            assert (await VoteOrchestration("v", voters).execute("?")).ended == "unanimous"

    sim_once(main)


def test_a_reviewer_may_just_say_true(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        reflection = ReflectionOrchestration("r", same, lambda work: True)
        assert await reflection.execute("draft") == "draft"

    sim_once(main)


@pytest.mark.parametrize("kind", ["async", "plain"])
def test_a_source_is_closed_when_nothing_more_is_taken_from_it(sim_once: Any, kind: str) -> None:
    closed: list[str] = []

    async def later() -> AsyncIterator[int]:
        try:
            for number in range(1_000):
                yield number
        finally:
            closed.append("async")

    def now() -> Iterator[int]:
        try:
            yield from range(1_000)
        finally:
            closed.append("plain")

    async def main(system: ActorSystem) -> None:
        with pytest.raises(PatternFailed, match="boom"):
            await MapReduceOrchestration("m", boom).execute(later() if kind == "async" else now())
        assert closed == [kind]

    sim_once(main)


def test_a_condition_that_for_each_would_ignore_is_refused() -> None:
    with pytest.raises(DefinitionError, match="a condition would be ignored"):
        ParallelOrchestration("p", [{"agent": same, "condition": "input > 3"}], for_each="xs")
