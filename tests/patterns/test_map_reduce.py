"""Map-reduce: order, bounds, backpressure, bounded memory, and failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenticaiframework.actors import ActorSystem
from agenticaiframework.actors.simulation import run_sim
from agenticaiframework.patterns import (
    DefinitionError,
    MapReduceOrchestration,
    MissingInput,
    PatternFailed,
    UnexpectedAnswer,
)

from .conftest import left_over


async def square(item: int) -> int:
    return item * item


async def total(values: list[int]) -> int:
    return sum(values)


def test_items_are_mapped_and_the_results_reduced_in_order(sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        async def slow(item: int) -> int:
            await asyncio.sleep(system.random.random())
            return item

        async def join(values: list[int]) -> str:
            return "".join(map(str, values))

        job = MapReduceOrchestration("m", slow, join, source="items", max_concurrency=4)
        assert await job.execute({"items": range(10)}) == "0123456789"
        assert await MapReduceOrchestration("m", slow).execute([3, 1, 2]) == [3, 1, 2]
        assert await MapReduceOrchestration("m", slow, join).execute([]) == ""
        assert await left_over(system) == []

    sim(main)


def test_no_more_is_taken_from_the_source_than_is_being_mapped(sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        taken: list[int] = []
        mapped: list[int] = []
        ahead: list[int] = []

        async def source() -> AsyncIterator[int]:
            for n in range(50):
                taken.append(n)
                ahead.append(len(taken) - len(mapped))
                yield n

        async def work(item: int) -> int:
            await asyncio.sleep(1)
            mapped.append(item)
            return item

        job = MapReduceOrchestration("m", work, total, max_concurrency=5)
        assert await job.execute(source()) == sum(range(50))
        # Five at work, and one waiting to be handed over.
        assert max(ahead) <= 6
        assert system.clock() == pytest.approx(10)

    sim(main)


def test_chunks_and_batches_bound_what_is_kept(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        sizes: list[int] = []

        async def reduce(values: list[int]) -> int:
            sizes.append(len(values))
            return sum(values)

        async def chunk(items: list[int]) -> int:
            assert len(items) <= 7
            return sum(items)

        job = MapReduceOrchestration("m", chunk, reduce, chunk_size=7, batch_size=4)
        report = await job.run(iter(range(1000)))
        assert report.result() == sum(range(1000))
        assert max(sizes) <= 4 * 4
        assert len(report.outcomes) < 100

    sim_once(main)


@given(
    st.integers(0, 60),
    st.integers(1, 5),
    st.one_of(st.none(), st.integers(2, 5)),
    st.integers(1, 9),
)
def test_grouping_makes_no_difference_to_a_merge(
    items: int, concurrency: int, batch: int | None, seed: int
) -> None:
    async def main() -> Any:
        async with ActorSystem("m", seed=seed) as system:

            async def wrap(item: int) -> list[int]:
                await asyncio.sleep(system.random.random())
                return [item]

            async def merge(values: list[list[int]]) -> list[int]:
                return [item for value in values for item in value]

            job = MapReduceOrchestration(
                "m", wrap, merge, max_concurrency=concurrency, batch_size=batch
            )
            return await job.execute(range(items))

    assert run_sim(main, seed=seed) == list(range(items))


def test_a_failed_item_ends_it_and_a_skipped_one_does_not(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        async def picky(item: int) -> int:
            if item == 3:
                raise ValueError("no threes")
            await asyncio.sleep(1)
            return item

        with pytest.raises(PatternFailed, match=r"'picky\[3\]' \(item 3\).*no threes"):
            await MapReduceOrchestration("m", picky, total).execute(range(1000))
        assert system.clock() < 2
        skipping = MapReduceOrchestration("m", {"agent": picky, "on_error": "skip"}, total)
        assert await skipping.execute(range(5)) == 0 + 1 + 2 + 4
        assert await left_over(system) == []

    sim(main)


def test_a_source_that_breaks_and_a_reducer_that_fails(sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        def source() -> Iterator[int]:
            yield 1
            raise OSError("disk gone")

        with pytest.raises(PatternFailed, match="disk gone"):
            await MapReduceOrchestration("m", square, total).execute(source())

        async def bad(values: Any) -> None:
            raise ValueError("cannot add")

        with pytest.raises(PatternFailed, match="the reducer.*cannot add"):
            await MapReduceOrchestration("m", square, bad).execute([1])

        async def hang(values: Any) -> None:
            await asyncio.Event().wait()

        with pytest.raises(TimeoutError):
            await MapReduceOrchestration("m", hang, total, timeout=3).execute(range(100))
        assert await left_over(system) == []

    sim(main)


def test_input_that_cannot_be_mapped_is_refused(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        job = MapReduceOrchestration("m", square, source="items")
        with pytest.raises(MissingInput, match=r"takes 'items'.*Did you mean 'item'\?$"):
            await job.execute({"item": [1]})
        with pytest.raises(UnexpectedAnswer, match="a list or an iterable"):
            await job.execute({"items": "text"})
        with pytest.raises(DefinitionError, match="batch_size says when the reducer runs"):
            MapReduceOrchestration("m", square, batch_size=3)

    sim_once(main)
