"""One record says which incarnation of an agent runs: its address. Ref, child and tree read it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from agenticaiframework.actors import ActorSystem, Agent, AgentFailed
from agenticaiframework.supervision import AgentSupervisor

Run = Callable[[Callable[[ActorSystem], Coroutine[Any, Any, Any]]], Any]


def test_an_agent_that_crashed_and_is_then_supervised_has_one_incarnation_everywhere(
    in_sim: Run,
) -> None:
    async def main(_system: ActorSystem) -> None:
        async def handle(payload: str) -> str:
            if payload == "boom":
                raise ValueError(payload)
            return payload

        agent = Agent("worker", handler=handle)
        for _ in range(3):
            try:
                await agent.ask("boom")
            except AgentFailed:
                pass
        assert await agent.ask("fine") == "fine"
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("worker", agent)
        await supervisor.start()
        child = supervisor.child("worker")
        address = agent.address()
        assert address.ref is not None
        in_tree = [node.incarnation for node in supervisor.tree().children]
        assert [address.incarnation, address.ref.incarnation, child.incarnation, *in_tree] == [
            4
        ] * 4
        try:
            await agent.ask("boom")
        except AgentFailed:
            pass
        await child
        await asyncio.sleep(0)
        assert address.ref is not None
        in_tree = [node.incarnation for node in supervisor.tree().children]
        assert [address.incarnation, address.ref.incarnation, child.incarnation, *in_tree] == [
            5
        ] * 4
        await supervisor.stop()

    in_sim(main)
