"""Strategies for work: which agents are told or asked, and with which pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a workload does: after *pause_s*, tell or ask *target* *payload*.

    An ask is awaited at once if *wait*, else together with the others at the end.
    """

    target: str
    payload: Any
    ask: bool = True
    wait: bool = True
    pause_s: float = 0.0


def workloads(
    targets: Sequence[str],
    payloads: st.SearchStrategy[Any],
    *,
    most: int = 10,
    pauses_s: Sequence[float] = (0.0, 0.001, 1.0, 30.0),
) -> st.SearchStrategy[list[Step]]:
    """Lists of up to *most* steps. Shrinks to few, awaited asks without pauses."""
    step = st.builds(
        Step,
        target=st.sampled_from(list(targets)),
        payload=payloads,
        ask=st.booleans().map(lambda tell: not tell),
        wait=st.booleans().map(lambda later: not later),
        pause_s=st.sampled_from(list(pauses_s)),
    )
    return st.lists(step, min_size=1, max_size=most)


async def run_workload(
    steps: Sequence[Step],
    ask: Callable[[str, Any], Awaitable[Any]],
    tell: Callable[[str, Any], object],
) -> list[Any]:
    """Do *steps*, and return for each ask, in order, its answer or the exception that it raised.

    *ask* and *tell* reach a target by its name: for a supervisor, ``supervisor.ask`` and
    ``supervisor.tell``.
    """
    outcomes: list[Any] = []
    waiting: list[tuple[int, asyncio.Task[Any]]] = []
    for step in steps:
        if step.pause_s:
            await asyncio.sleep(step.pause_s)
        if not step.ask:
            try:
                tell(step.target, step.payload)
            except Exception as error:
                outcomes.append(error)
            continue
        asked = asyncio.ensure_future(_ask(ask, step))
        outcomes.append(None)
        if step.wait:
            outcomes[-1] = await asked
        else:
            waiting.append((len(outcomes) - 1, asked))
    for place, asked in waiting:
        outcomes[place] = await asked
    return outcomes


async def _ask(ask: Callable[[str, Any], Awaitable[Any]], step: Step) -> Any:
    try:
        return await ask(step.target, step.payload)
    except Exception as error:
        return error
