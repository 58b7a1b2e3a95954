"""What a dynamic supervisor says of its children, living and between two incarnations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from agenticaiframework.actors import Actor, ActorRef, ActorSystem
from agenticaiframework.supervision import (
    Backoff,
    ChildInfo,
    ChildProblem,
    ChildSpec,
    ChildType,
    DynamicSupervisor,
    Error,
    Ok,
    start_child,
    which_child,
    which_children,
)

Run = Callable[..., Any]


class Worker(Actor):
    def on_receive(self, message: Any) -> None:
        raise ValueError(message)


async def end(ref: ActorRef[Any]) -> None:
    ref.tell("boom")
    await ref.system.wait_ended(ref)  # type: ignore[union-attr]


def test_which_child_finds_a_dynamic_child_by_its_ref(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        pool = system.start(DynamicSupervisor, {"intensity": 5})
        slow = ChildSpec("slow", (Worker,), backoff=Backoff(initial_delay_s=5))
        one, two = [(await start_child(pool, slow)).unwrap() for _ in range(2)]
        assert one is not None
        assert two is not None
        for ref in (one, two):
            info = ChildInfo(None, ref, ChildType.WORKER, (Worker.__module__,))
            assert await which_child(pool, ref) == Ok(info)
        stranger = system.start(Worker)
        assert await which_child(pool, stranger) == Error(ChildProblem.NOT_FOUND)

        await end(one)
        waiting = (await which_child(pool, one)).unwrap()
        assert waiting.child == "restarting"
        assert (await which_child(pool, two)).unwrap().child is two
        await asyncio.sleep(6)
        assert await which_child(pool, one) == Error(ChildProblem.NOT_FOUND)
        assert (await which_child(pool, two)).unwrap().child is two
        assert len(await which_children(pool)) == 2

    in_sim(main)
