"""Choreography: chains of events, wildcards, joins, limits, and failure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from agenticaiframework.actors import ModelFields, agent_context
from agenticaiframework.patterns import (
    ChoreographyOrchestration,
    DefinitionError,
    Emit,
    LimitReached,
    PatternFailed,
)
from agenticaiframework.patterns.kinds.event_matching import read_event_key

from .conftest import left_over


def emitting(*events: str) -> Any:
    def handle(data: Any) -> Any:
        emits = [Emit(event, data) for event in events]
        return emits[0] if len(emits) == 1 else emits

    return handle


def test_events_cause_events_and_the_reaction_tells_what_happened(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("validator", lambda order: Emit("order.validated", {**order, "valid": True}))
        cast.agent("checker", emitting("stock.confirmed"))
        cast.agent("shipper", "shipped")
        choreography = ChoreographyOrchestration(
            name="orders",
            agents=["validator", "checker", "shipper"],
            event_handlers={
                "order.received": "validator",
                "order.validated": "checker",
                "stock.confirmed": "shipper",
            },
        )
        reaction = await choreography.emit_event("order.received", {"id": 7})
        assert [h.work for h in reaction.happenings] == ["validator", "checker", "shipper"]
        assert [h.hop for h in reaction.happenings] == [1, 2, 3]
        assert reaction.happenings[0].emitted == ("order.validated",)
        assert cast.payloads("shipper") == [{"id": 7, "valid": True}]
        assert reaction.results["shipper"] == "shipped"
        assert reaction.ok
        assert await left_over(system) == []

    sim(main)


def test_unhandled_events_run_nothing_and_are_reported(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("a", emitting("nobody.cares"))
        choreography = ChoreographyOrchestration("c", ["a"], {"start": "a"})
        reaction = await choreography.emit_event("start", 1)
        assert reaction.unhandled == (Emit("nobody.cares", 1),)
        strange = await choreography.emit_event("stranger", 2)
        assert strange.unhandled == (Emit("stranger", 2),)
        assert strange.happenings == ()
        assert cast.asked == ["a"]

    sim_once(main)


def test_several_handlers_and_wildcards_react_at_the_same_time(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        for name in ("exact", "wild", "all", "other"):
            cast.agent(name, lambda p: asyncio.sleep(1, p))
        choreography = ChoreographyOrchestration(
            "c",
            event_handlers={
                "order.paid": ["exact", {"agent": "other", "condition": "input.big"}],
                "order.*": "wild",
                "*": "all",
            },
        )
        began = system.clock()
        reaction = await choreography.emit_event("order.paid", {"big": False})
        assert sorted(h.work for h in reaction.happenings) == ["all", "exact", "wild"]
        assert system.clock() - began == pytest.approx(1)

    sim(main)


def test_a_join_waits_for_both_events_within_one_reaction(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("start", emitting("check.stock", "check.card"))
        cast.agent("stock", lambda p: asyncio.sleep(3, Emit("stock.ok", "in stock")))
        cast.agent("card", lambda p: asyncio.sleep(1, Emit("card.ok", "charged")))
        cast.agent("ship")
        choreography = ChoreographyOrchestration(
            "c",
            event_handlers={
                "order": "start",
                "check.stock": "stock",
                "check.card": "card",
                "stock.ok & card.ok": "ship",
            },
        )
        first, second = await asyncio.gather(
            choreography.emit_event("order", 1), choreography.emit_event("order", 2)
        )
        assert cast.payloads("ship") == [{"stock.ok": "in stock", "card.ok": "charged"}] * 2
        assert first.correlation_id != second.correlation_id
        half = await choreography.emit_event("stock.ok", "x")
        assert half.waiting == {"stock.ok & card.ok": ("card.ok",)}
        together = await choreography.emit_events([Emit("stock.ok", 1), Emit("card.ok", 2)])
        assert cast.payloads("ship")[-1] == {"stock.ok": 1, "card.ok": 2}
        assert together.events == ("stock.ok", "card.ok")

    sim(main)


def test_a_loop_of_events_ends_with_an_error_that_shows_the_circle(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("ping", emitting("pong"))
        cast.agent("pong", emitting("ping"))
        choreography = ChoreographyOrchestration(
            "loop", event_handlers={"ping": "ping", "pong": "pong"}, max_hops=5
        )
        with pytest.raises(LimitReached, match=r"5 events in one chain: ping -> pong") as caught:
            await choreography.emit_event("ping")
        assert len(cast.log) == 5
        assert len(caught.value.completed) == 5
        assert await left_over(system) == []

    sim(main)


def test_an_avalanche_of_events_is_bounded(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("a", emitting("more", "more"))
        choreography = ChoreographyOrchestration(
            "avalanche", event_handlers={"more": "a"}, max_reactions=100, max_hops=1000
        )
        with pytest.raises(LimitReached, match="100 turns"):
            await choreography.emit_event("more")
        assert len(cast.log) <= 100
        assert await left_over(system) == []

    sim_once(main)


def test_a_loop_is_not_waited_for_by_what_runs_beside_it(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("start", emitting("ping", "slow"))
        cast.agent("ping", emitting("ping"))
        cast.agent("slow", lambda p: asyncio.sleep(3600))
        choreography = ChoreographyOrchestration(
            "loop", event_handlers={"go": "start", "ping": "ping", "slow": "slow"}, max_hops=5
        )
        with pytest.raises(LimitReached):
            await choreography.emit_event("go")
        assert system.clock() < 1
        assert await left_over(system) == []

    sim(main)


def test_a_join_begins_anew_after_it_has_fired(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("ship")
        choreography = ChoreographyOrchestration("c", event_handlers={"a & b": "ship"})
        events = [Emit("a", 1), Emit("b", 2), Emit("b", 3), Emit("a", 4), Emit("a", 5)]
        reaction = await choreography.emit_events(events)
        assert sorted(map(repr, cast.payloads("ship"))) == ["{'a': 1, 'b': 2}", "{'a': 4, 'b': 3}"]
        assert reaction.waiting == {"a & b": ("b",)}

    sim_once(main)


def test_a_failing_agent_ends_its_chain_and_nothing_else(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        def boom(data: Any) -> None:
            raise ValueError("card refused")

        cast.agent("start", emitting("left", "right"))
        cast.agent("bad", boom)
        cast.agent("good", lambda p: asyncio.sleep(2, Emit("end", p)))
        cast.agent("last")
        choreography = ChoreographyOrchestration(
            "c", event_handlers={"go": "start", "left": "bad", "right": "good", "end": "last"}
        )
        reaction = await choreography.emit_event("go", 1)
        assert list(reaction.failed) == ["bad"]
        assert not reaction.ok
        assert "last" in reaction.results
        # Executed as a pattern it has no other way to say so than an error.
        with pytest.raises(PatternFailed, match="card refused"):
            await choreography.execute({"event": "go", "data": 1})
        again = await choreography.emit_event("right", 2)
        assert again.ok

    sim(main)


def test_failures_and_unhandled_events_become_the_dead_letter_event(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: Any) -> None:
        def boom(data: Any) -> None:
            raise ValueError("card refused")

        cast.agent("bad", boom)
        cast.agent("undertaker", lambda letter: None)
        choreography = ChoreographyOrchestration(
            "c", event_handlers={"pay": "bad", "lost": "undertaker"}, dead_letter="lost"
        )
        await choreography.emit_event("pay", 5)
        (letter,) = cast.payloads("undertaker")
        assert (letter["event"], letter["data"], letter["agent"]) == ("pay", 5, "bad")
        assert "card refused" in letter["error"]
        await choreography.emit_event("unknown", 6)
        assert cast.payloads("undertaker")[1]["event"] == "unknown"
        cast.agent("undertaker", boom)
        reaction = await choreography.emit_event("pay", 5)
        assert len(reaction.failed) == 2

    sim_once(main)


def test_typed_events_are_checked_before_anybody_gets_them(cast: Any, sim_once: Any) -> None:
    class Order(BaseModel):
        id: int

    async def main(system: Any) -> None:
        cast.agent("a", Emit("order.done", {"id": "many"}))
        cast.agent("b")
        choreography = ChoreographyOrchestration(
            "c",
            event_handlers={"order.new": "a", "order.done": "b"},
            event_types={"order.new": Order, "order.done": Order},
        )
        with pytest.raises(DefinitionError, match=r"'order.new' of 'c'.*id"):
            await choreography.emit_event("order.new", {"id": "x"})
        assert cast.log == []
        reaction = await choreography.emit_event("order.new", {"id": 3})
        assert cast.log == [("a", Order(id=3))]
        assert isinstance(reaction.failed["a"].cause, DefinitionError)

    sim_once(main)


def test_a_mapping_from_a_model_emits_too_and_the_context_has_the_correlation_id(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: Any) -> None:
        seen: list[Any] = []
        cast.agent("model", ModelFields(emit="next", data="d"))
        cast.agent("b", lambda p: seen.append((p, agent_context()["correlation_id"])))
        choreography = ChoreographyOrchestration("c", event_handlers={"go": "model", "next": "b"})
        reaction = await choreography.emit_event("go", correlation_id="order-7")
        assert reaction.correlation_id == "order-7"
        assert seen == [("d", "order-7")]

    sim_once(main)


def test_a_start_event_lets_a_choreography_stand_where_an_agent_can(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: Any) -> None:
        cast.agent("a", "did it")
        choreography = ChoreographyOrchestration("c", event_handlers={"go": "a"}, start_event="go")
        assert (await choreography.ask({"x": 1})).results == {"a": "did it"}
        bare = ChoreographyOrchestration("c", event_handlers={"go": "a"})
        with pytest.raises(PatternFailed, match="start_event"):
            await bare.execute({"x": 1})

    sim_once(main)


def test_a_handler_that_is_no_agent_of_the_choreography_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"'shiper'.*Did you mean 'shipper'"):
        ChoreographyOrchestration("c", ["shipper"], {"paid": "shiper"})
    with pytest.raises(DefinitionError, match="at least 1 item"):
        ChoreographyOrchestration("c", ["shipper"], {})
    with pytest.raises(DefinitionError, match="'a & ' is not an event"):
        ChoreographyOrchestration("c", event_handlers={"a & ": "shipper"})


@pytest.mark.parametrize(
    ("key", "event", "parts"),
    [
        ("order.paid", "order.paid", (0,)),
        ("order.paid", "order.paid.late", ()),
        ("order.*", "order.paid.late", (0,)),
        ("*.failed", "a.b.failed", (0,)),
        ("*.failed", "failed", ()),
        ("a & b", "b", (1,)),
        ("*" * 40 + "x", "y" * 5000, ()),
    ],
)
def test_event_keys_match(key: str, event: str, parts: tuple[int, ...]) -> None:
    assert read_event_key(key).match(event) == parts
