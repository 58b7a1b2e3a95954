"""Hierarchical orchestration: rules, picking, nesting, limits, and failure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.patterns import (
    DefinitionError,
    Delegate,
    HierarchicalOrchestration,
    LimitReached,
    PatternFailed,
    UnexpectedAnswer,
)

from .conftest import left_over

RULES = [
    {
        "parent": "director",
        "children": ["data", "web"],
        "condition": "task.requires_research",
    },
    {"parent": "director", "children": ["analyst", "writer"], "condition": "task.requires_report"},
]


def test_the_root_runs_first_and_every_true_rule_fires(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("director", {"requires_research": True, "requires_report": True})
        cast.echoes("data", "web", "analyst", "writer")
        hierarchy = HierarchicalOrchestration("h", "director", RULES)
        result = await hierarchy.execute({"task": "Research and write"})
        assert cast.asked[0] == "director"
        assert sorted(cast.asked[1:]) == ["analyst", "data", "web", "writer"]
        assert set(result) == {"director", "data", "web", "analyst", "writer"}
        assert all(p == {"task": "Research and write"} for _, p in cast.log)
        assert await left_over(system) == []

    sim(main)


def test_conditions_see_the_tasks_fields_overlaid_with_what_the_root_returned(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: Any) -> None:
        cast.echoes("data", "web", "analyst", "writer")
        cast.agent("director", "nothing to add")
        hierarchy = HierarchicalOrchestration("h", "director", RULES)
        await hierarchy.execute({"task": {"requires_report": True}})
        assert cast.asked[1:] == ["analyst", "writer"]
        cast.log.clear()
        cast.agent("director", {"requires_report": False, "requires_research": True})
        await hierarchy.execute({"requires_report": True})
        assert cast.asked[1:] == ["data", "web"]

    sim_once(main)


def test_no_rule_true_means_no_child_and_no_error(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("director", "alone")
        cast.echoes("data", "web", "analyst", "writer")
        result = await HierarchicalOrchestration("h", "director", RULES).execute("task")
        assert result == {"director": "alone"}
        assert await HierarchicalOrchestration("h", "director").execute("t") == result

    sim_once(main)


def test_nested_parents_delegate_as_soon_as_they_have_answered(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("root", {"go": True})
        cast.agent("slow", lambda p: asyncio.sleep(10, "slow"))
        cast.agent("lead", lambda p: asyncio.sleep(1, {"deeper": True}))
        cast.agent("worker", lambda p: asyncio.sleep(1, "worked"))
        hierarchy = HierarchicalOrchestration(
            "h",
            "root",
            [
                {"parent": "root", "children": ["slow", "lead"], "condition": "task.go"},
                {"parent": "lead", "children": "worker", "condition": "task.deeper and task.go"},
            ],
        )
        report = await hierarchy.run("t")
        # The worker does not wait for its parent's slow sibling.
        assert report["worker"].ended_at - report["root"].ended_at == pytest.approx(2)
        assert report.result()["worker"] == "worked"

    sim(main)


@pytest.mark.parametrize(
    "answer",
    [
        Delegate({"writer": "the introduction", "editor": None}),
        {"delegate": {"writer": "the introduction", "editor": None}},
        {"delegate": [{"agent": "writer", "task": "the introduction"}, "editor"]},
    ],
)
def test_a_manager_picks_children_and_their_sub_tasks(
    cast: Any, sim_once: Any, answer: Any
) -> None:
    async def main(system: Any) -> None:
        cast.agent("boss", lambda p: answer)
        cast.echoes("writer", "editor", "idler")
        hierarchy = HierarchicalOrchestration(
            "h",
            "boss",
            [{"parent": "boss", "children": ["writer", "editor", "idler"], "pick": True}],
        )
        result = await hierarchy.execute("a book")
        assert sorted(cast.asked) == ["boss", "editor", "writer"]
        assert result["writer"] == "writer(the introduction)"
        assert result["editor"] == "editor(a book)"
        # The choice is no result: what the boss contributes itself is its answer.
        assert not isinstance(result["boss"], Delegate)

    sim_once(main)


def test_a_manager_may_give_one_child_several_sub_tasks(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("boss", {"delegate": [{"agent": "w", "task": n} for n in (1, 2)]})
        cast.echoes("w")
        hierarchy = HierarchicalOrchestration(
            "h", "boss", [{"parent": "boss", "children": ["w"], "pick": True}]
        )
        result = await hierarchy.execute("t")
        assert sorted([result["w"], result["w#2"]]) == ["w(1)", "w(2)"]

    sim(main)


def test_a_picked_stranger_is_an_error_with_the_near_names(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("boss", {"delegate": ["writter"]})
        cast.echoes("writer")
        hierarchy = HierarchicalOrchestration(
            "h", "boss", [{"parent": "boss", "children": ["writer"], "pick": True}]
        )
        with pytest.raises(UnexpectedAnswer, match="Did you mean 'writer'"):
            await hierarchy.execute("t")

    sim_once(main)


def test_the_delegation_budget_is_kept(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("boss", {"delegate": ["w"] * 5})
        cast.echoes("w")
        hierarchy = HierarchicalOrchestration(
            "h", "boss", [{"parent": "boss", "children": ["w"], "pick": True}], max_delegations=4
        )
        with pytest.raises(LimitReached, match="limit of 4 delegations") as caught:
            await hierarchy.execute("t")
        assert "boss" in caught.value.completed
        assert cast.asked == ["boss"]
        assert await left_over(system) == []

    sim(main)


def test_a_failed_child_is_an_error_after_the_others_have_ended(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        def boom(payload: Any) -> None:
            raise ValueError("no data")

        cast.agent("root", "go")
        cast.agent("bad", boom)
        cast.agent("good", lambda p: asyncio.sleep(3, "good"))
        rules = [{"parent": "root", "children": ["bad", "good"]}]
        with pytest.raises(PatternFailed, match="'bad'.*no data") as caught:
            await HierarchicalOrchestration("h", "root", rules).execute("t")
        assert caught.value.completed == {"root": "go", "good": "good"}
        result = await HierarchicalOrchestration("h", "root", rules, join="collect").execute("t")
        assert result == {"root": "go", "good": "good"}
        assert "no data" in str(result.missing["bad"].cause)
        cast.agent("root", boom)
        with pytest.raises(PatternFailed, match="'root'"):
            await HierarchicalOrchestration("h", "root", rules, join="collect").execute("t")

    sim(main)


def test_an_aggregator_makes_the_result(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.echoes("root", "child")
        hierarchy = HierarchicalOrchestration(
            "h",
            "root",
            [{"parent": "root", "children": ["child"]}],
            aggregator=lambda results: ", ".join(sorted(results)),
        )
        assert await hierarchy.execute("t") == "child, root"

    sim_once(main)


def test_a_cycle_in_the_rules_is_refused_and_named() -> None:
    with pytest.raises(DefinitionError, match="in a cycle: a -> b -> c -> a"):
        HierarchicalOrchestration(
            "h",
            "a",
            [
                {"parent": "a", "children": ["b"]},
                {"parent": "b", "children": ["c"]},
                {"parent": "c", "children": ["x", "a"]},
            ],
        )


def test_a_rule_for_a_parent_that_is_never_reached_and_too_deep_a_tree_are_refused() -> None:
    with pytest.raises(DefinitionError, match=r"'directr' is neither.*Did you mean 'director'"):
        HierarchicalOrchestration("h", "director", [{"parent": "directr", "children": ["a"]}])
    chain = [{"parent": f"p{n}", "children": [f"p{n + 1}"]} for n in range(4)]
    with pytest.raises(DefinitionError, match="4 levels deep, and max_depth is 3"):
        HierarchicalOrchestration("h", "p0", chain, max_depth=3)


def test_a_text_task_reaches_the_children_that_it_speaks_of_when_the_root_gives_no_field(
    cast: Any, sim: Any
) -> None:
    rules = [
        {"parent": "boss", "children": ["a", "b"], "condition": "task.requires_research"},
        {"parent": "boss", "children": ["c"], "condition": "task.requires_report"},
    ]

    async def main(system: Any) -> None:
        for name in ("a", "b", "c"):
            cast.agent(name, f"{name} did it")
        cast.agent("boss", "a plan in words")
        hierarchy = HierarchicalOrchestration(name="h", root_agent="boss", delegation_rules=rules)
        assert set(await hierarchy.execute({"task": "Research AI and write report"})) == {
            "boss", "a", "b", "c",
        }  # fmt: skip
        assert set(await hierarchy.execute("Just say hello")) == {"boss"}
        # What the root returns decides alone, also by what it leaves out.
        cast.agent("boss", {"requires_report": True})
        assert set(await hierarchy.execute("Research AI and write report")) == {"boss", "c"}

    sim(main)
