"""Agents and supervisors that the tests of named children have in common."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.actors import (
    Agent,
    AgentFailed,
)
from agenticaiframework.supervision import (
    AgentSupervisor,
)


async def answer(payload: Any) -> Any:
    """Crash on "boom", wait on a number of seconds, and echo everything else."""
    if payload == "boom":
        raise ValueError("boom")
    if isinstance(payload, float):
        await asyncio.sleep(payload)
    return payload


def agent(name: str = "agent", **options: Any) -> Agent:
    return Agent(name, handler=answer, **options)


def pool(*names: str, **options: Any) -> AgentSupervisor:
    supervisor = AgentSupervisor("pool", **options)
    for name in names:
        supervisor.add_child(name, agent(f"{name}-agent"))
    return supervisor


async def fail(supervisor: AgentSupervisor, name: str) -> None:
    with pytest.raises(AgentFailed):
        await supervisor.ask(name, "boom")
