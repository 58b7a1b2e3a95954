"""Sequential orchestration: what each step gets, what ends it, and what failure does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pykka
import pytest

from agenticaiframework.actors import Actor, ActorDied, ActorSystem, UnknownAgent
from agenticaiframework.patterns import (
    Completed,
    DefinitionError,
    Failed,
    MapReduceOrchestration,
    MissingInput,
    ParallelOrchestration,
    PatternFailed,
    PatternTimedOut,
    SequentialOrchestration,
    Skipped,
    TimedOut,
)

from .conftest import left_over


def test_each_step_gets_the_output_before_it_and_the_last_output_is_the_result(
    cast: Any, sim: Any
) -> None:
    async def main(system: Any) -> None:
        cast.echoes("a", "b", "c")
        pipeline = SequentialOrchestration(name="abc", steps=["a", "b", "c"])
        assert await pipeline.execute("x") == "c(b(a(x)))"
        assert await left_over(system) == []

    sim(main)


def test_an_input_key_is_taken_from_the_input_before_the_previous_output(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: Any) -> None:
        cast.agent("first", {"text": "from first", "other": "kept"})
        cast.agent("second", lambda p: p)
        for key, expected in (("text", "from input"), ("other", "kept"), ("absent", "whole")):
            pipeline = SequentialOrchestration(
                name="keys",
                steps=[{"agent": "first"}, {"agent": "second", "input_key": key}],
            )
            result = await pipeline.execute({"text": "from input"})
            if expected == "whole":
                assert result == {"text": "from first", "other": "kept"}
            else:
                assert result == expected

    sim_once(main)


def test_the_first_missing_key_is_an_error_that_names_it_and_nobody_is_asked(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: Any) -> None:
        cast.echoes("a")
        pipeline = SequentialOrchestration(
            name="keys", steps=[{"agent": "a", "input_key": "document"}]
        )
        with pytest.raises(MissingInput, match=r"'document'.*Did you mean 'documents'") as caught:
            await pipeline.execute({"documents": 1})
        assert caught.value.key == "document"
        assert cast.log == []

    sim_once(main)


def test_input_that_is_no_mapping_goes_whole_to_the_first_step(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.echoes("a")
        pipeline = SequentialOrchestration(
            name="p", steps=[{"agent": "a", "input_key": "document"}]
        )
        assert await pipeline.execute("text") == "a(text)"

    sim_once(main)


def test_an_output_key_keeps_the_output_for_later_steps(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.echoes("a", "b", "c")
        pipeline = SequentialOrchestration(
            name="keys",
            steps=[
                {"agent": "a", "output_key": "draft"},
                "b",
                {"agent": "c", "input_key": "draft"},
            ],
        )
        assert await pipeline.execute("x") == "c(a(x))"

    sim_once(main)


def test_a_step_whose_condition_does_not_hold_is_skipped_and_hands_its_input_on(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: Any) -> None:
        cast.echoes("a", "b", "c")
        pipeline = SequentialOrchestration(
            name="conditions",
            steps=[
                "a",
                {"agent": "b", "condition": "input.loud"},
                {"agent": "c", "condition": "output != none and not quiet"},
            ],
        )
        report = await pipeline.run({"loud": False})
        assert report.result() == "c(a({'loud': False}))"
        assert isinstance(report["b"], Skipped)
        assert cast.asked == ["a", "c"]
        only = SequentialOrchestration(name="one", steps=[{"agent": "a", "condition": "input.x"}])
        assert await only.execute({"y": 1}) == {"y": 1}

    sim_once(main)


def test_stop_if_ends_the_sequence_early(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("a", {"done": True})
        cast.agent("b")
        pipeline = SequentialOrchestration(
            name="early", steps=[{"agent": "a", "stop_if": "output.done"}, "b"]
        )
        report = await pipeline.run(1)
        assert report.result() == {"done": True}
        assert cast.asked == ["a"]
        outcome = report["b"]
        assert isinstance(outcome, Skipped)
        assert "'a' ended the sequence" in outcome.reason

    sim_once(main)


def test_functions_patterns_and_agent_objects_stand_wherever_a_name_does(
    cast: Any, sim: Any
) -> None:
    async def main(system: Any) -> None:
        agents = cast.echoes("a", "b")

        async def shout(payload: Any) -> str:
            return str(payload).upper()

        def blocking(payload: Any) -> str:
            return f"{payload}!"

        pipeline = SequentialOrchestration(
            name="mixed",
            steps=[
                agents[0],
                shout,
                ParallelOrchestration(name="both", branches=["a", "b"]),
                lambda both: both["b"],
                blocking,
            ],
        )
        assert await pipeline.execute("x") == "b(A(X))!"
        assert await left_over(system) == []

    sim(main)


def test_a_failed_step_ends_it_with_an_error_that_carries_every_outcome(
    cast: Any, sim: Any
) -> None:
    async def main(system: Any) -> None:
        cast.echoes("a", "c")

        def boom(payload: Any) -> None:
            raise ValueError("no text")

        cast.agent("b", boom)
        pipeline = SequentialOrchestration(name="fails", steps=["a", "b", "c"])
        with pytest.raises(PatternFailed, match=r"'b' \(step 2 of 3\).*no text") as caught:
            await pipeline.execute("x")
        error = caught.value
        assert cast.asked == ["a", "b"]
        assert error.work == "b"
        assert error.completed == {"a": "a(x)"}
        assert isinstance(error.outcomes["b"], Failed)
        assert isinstance(error.outcomes["c"], Skipped)
        assert error.__cause__ is not None
        assert isinstance(error.__cause__.__cause__, ValueError)
        # The agent is as good as new for the next one.
        assert await SequentialOrchestration(name="ok", steps=["a", "c"]).execute(1) == "c(a(1))"

    sim(main)


def test_a_hanging_step_is_stopped_at_its_timeout_and_its_late_answer_ignored(
    cast: Any, sim: Any
) -> None:
    async def main(system: Any) -> None:
        cast.echoes("a")
        cancelled: list[str] = []

        async def hang(payload: Any) -> str:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.append("hang")
                raise
            return "late"

        cast.agent("hang", hang)
        pipeline = SequentialOrchestration(
            name="slow", steps=["a", {"agent": "hang", "timeout": 2}, "a"]
        )
        began = system.clock()
        with pytest.raises(PatternFailed, match="timed out after 2 s") as caught:
            await pipeline.execute("x")
        assert system.clock() - began == pytest.approx(2)
        assert isinstance(caught.value.outcomes["hang"], TimedOut)
        await asyncio.sleep(0.1)
        assert cancelled == ["hang"]
        assert await left_over(system) == []

    sim(main)


def test_the_whole_time_limit_stops_the_step_that_runs(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("slow", lambda p: asyncio.sleep(3, p))
        pipeline = SequentialOrchestration(name="limited", steps=["slow", "slow"], timeout=4)
        with pytest.raises(PatternTimedOut, match="took longer than its 4 s") as caught:
            await pipeline.execute("x")
        assert isinstance(caught.value, TimeoutError)
        assert isinstance(caught.value.outcomes["slow"], Completed)
        assert isinstance(caught.value.outcomes["slow#2"], TimedOut)
        assert await pipeline.execute("y", timeout=7) == "y"

    sim(main)


def test_unknown_names_are_found_before_anybody_is_asked(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.echoes("extractor")
        pipeline = SequentialOrchestration(name="p", steps=["extractor", "extracter"])
        with pytest.raises(UnknownAgent, match=r"'extracter'.*Did you mean 'extractor'"):
            await pipeline.execute("x")
        fallback = SequentialOrchestration(
            name="p", steps=[{"agent": "extractor", "on_error": {"fallback": "nobody"}}]
        )
        with pytest.raises(UnknownAgent, match="'nobody'"):
            await fallback.execute("x")
        assert cast.log == []

    sim_once(main)


def test_concurrent_executions_share_nothing(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        async def slow(payload: Any) -> dict[str, Any]:
            await asyncio.sleep(system.random.random())
            return {"id": payload}

        cast.agent("a", slow)
        pipeline = SequentialOrchestration(
            name="p",
            steps=[
                {"agent": "a", "input_key": "id", "output_key": "mine"},
                lambda p: p,
                {"agent": "a", "input_key": "mine"},
            ],
        )
        results = await asyncio.gather(*(pipeline.execute({"id": n}) for n in range(20)))
        assert results == [{"id": {"id": n}} for n in range(20)]

    sim(main)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([], "at least 1 item"),
        ([{"agnet": "a"}], r"steps\[0\]: unknown field 'agnet'. Did you mean 'agent'"),
        (["a", {"agent": ""}], r"steps\[1\].agent: an agent's name is empty"),
        ([{"agent": "a", "condition": "input.x ="}], "'=' does not compare"),
        ([{"agent": "a", "timeout": 0}], r"steps\[0\].timeout: input should be greater than 0"),
        ([{"agent": "a", "on_error": "ignore"}], '"fail", "skip"'),
        ([{"agent": "a", "retry": -1}], r"steps\[0\].retry"),
        ([{"agent": 7}], "7 cannot be asked"),
        ([{"agent": dict}], "dict is a class"),
        ([{"agent": "a", "timeout": 1, "timeout_seconds": 2}], "'timeout' is given twice"),
    ],
)
def test_a_wrong_definition_is_refused_when_it_is_made(steps: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said) as caught:
        SequentialOrchestration(name="wrong", steps=steps)
    assert "SequentialOrchestration 'wrong'" in str(caught.value)
    assert "For example: SequentialOrchestration(" in str(caught.value)
    assert isinstance(caught.value, ValueError)


class Doubler(Actor):
    """A raw actor that pays no attention to its asker."""

    async def on_receive(self, message: Any) -> Any:
        if message == "hang":
            await asyncio.Event().wait()
        if message == "fail":
            raise ValueError("no")
        return message * 2


def test_an_actors_ref_stands_where_an_agent_can(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.start(Doubler, _name="doubler")
        cast.agent("echo", lambda p: p)
        pattern = SequentialOrchestration("twice", [ref, "echo", {"agent": ref, "timeout": 1}])
        assert await pattern.execute(3) == 12
        assert [*(await pattern.run(1)).outcomes] == ["doubler", "echo", "doubler#2"]
        report = await pattern.run("fail")
        assert isinstance(report["doubler"], Failed)
        assert isinstance(report["doubler"].cause, ValueError)
        assert ref.is_alive()
        late = SequentialOrchestration("late", [{"agent": ref, "timeout": 1}])
        assert isinstance((await late.run("hang"))["doubler"], TimedOut)
        ref.kill()
        await asyncio.sleep(0.1)
        gone = await pattern.run(1)
        assert isinstance(gone["doubler"].cause, ActorDied)
        with pytest.raises(DefinitionError, match="cannot be written as data"):
            pattern.to_dict()

    sim(main)


def test_a_plain_pykka_ref_is_refused_with_the_form_that_works() -> None:
    class Threading(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> Any:
            return message

    ref = Threading.start()
    try:
        with pytest.raises(DefinitionError, match=r"lambda payload: ref\.ask\(payload\)"):
            SequentialOrchestration("x", [ref])
        pattern = SequentialOrchestration("x", [lambda payload: ref.ask(payload)])
        assert asyncio.run(pattern.execute("hello")) == "hello"
    finally:
        ref.stop()


def test_a_step_may_give_a_generator_that_the_next_step_reads(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        async def numbers(count: int) -> AsyncIterator[int]:
            for number in range(count):
                yield number

        cast.agent("source", lambda n: numbers(n))
        cast.agent("square", lambda n: n * n)
        squares = MapReduceOrchestration("squares", mapper="square", reducer=sum, max_concurrency=2)
        assert await SequentialOrchestration("x", ["source", squares]).execute(5) == 30

    sim(main)
