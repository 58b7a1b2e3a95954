"""The types of what calls return: made from the stored form, where a value of them can be."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import Field

from agenticaiframework.orchestration import WorkflowFailed, WorkflowRun, workflow

from .conftest import OpenEngine

Sim = Callable[[Any], Any]


class Row(dict[str, int]):
    """A class that says nothing of how its values are made."""


def read_row() -> Row:
    return Row(a=1)


def test_what_is_of_a_type_that_cannot_be_made_comes_in_its_stored_form(
    opened: OpenEngine, sim: Sim
) -> None:
    @workflow(name="rows")
    async def rows(run: WorkflowRun) -> Any:
        return await run.step(read_row)

    async def main() -> None:
        async with opened() as e:
            assert await e.execute(rows) == {"a": 1}

    sim(main)


def test_a_type_that_cannot_be_made_is_refused_before_its_step_runs(
    opened: OpenEngine, sim: Sim
) -> None:
    calls: list[str] = []

    @workflow(name="asked")
    async def asked(run: WorkflowRun) -> Any:
        return await run.step(calls.append, "called", returns=Row)

    async def main() -> None:
        async with opened() as e:
            with pytest.raises(WorkflowFailed, match=r"no value of it can be made.*returns=list\["):
                await e.execute(asked)
            assert not calls

    sim(main)


def test_a_type_with_a_condition_is_held_to_it(opened: OpenEngine, sim: Sim) -> None:
    @workflow(name="positive")
    async def positive(run: WorkflowRun, n: int) -> int:
        return await run.step(abs, n, returns=Annotated[int, Field(gt=0)])  # type: ignore[no-any-return]

    async def main() -> None:
        async with opened() as e:
            assert await e.execute(positive, -2) == 2
            with pytest.raises(
                WorkflowFailed, match="1 validation error .*: Input should be greater than 0"
            ):
                await e.execute(positive, 0)

    sim(main)


def test_a_function_that_its_type_leads_back_to_ends_with_its_workflow(
    opened: OpenEngine, sim: Sim
) -> None:
    def made() -> tuple[Any, Any]:
        @dataclass
        class Shop:
            name: str

            @staticmethod
            def found() -> Any:
                return Shop("corner")

        Shop.found.__annotations__["return"] = Shop

        @workflow(name="shop")
        async def shop(run: WorkflowRun) -> Any:
            found = await run.step(Shop.found, name="found")
            assert found == Shop("corner")
            return found.name

        return shop, weakref.ref(Shop)

    kept: list[Any] = []

    async def main() -> None:
        shop, kind = made()
        kept.append(kind)
        async with opened() as e:
            assert await e.execute(shop) == "corner"

    sim(main)
    gc.collect()
    assert kept[0]() is None
