"""Rules of supervisors that are easy to break without anything else going wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from agenticaiframework.actors import ActorSystem
from agenticaiframework.supervision import (
    AgentSupervisor,
    ChildState,
    Counts,
    Supervisor,
    count_children,
    which_children,
)

Run = Callable[..., Any]


class Declines(Supervisor):
    def init(self) -> Any:
        return None


def test_a_temporary_child_that_declines_to_start_is_forgotten(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with AgentSupervisor("pool") as pool:
            assert pool.ref is not None
            stays = pool.add_child("stays", Declines)
            gone = pool.add_child("gone", Declines, restart="temporary")
            await asyncio.sleep(1)
            assert stays.state is gone.state is ChildState.STOPPED
            assert [info.id for info in await which_children(pool.ref)] == ["stays"]
            assert await count_children(pool.ref) == Counts(1, 0, 1, 0)

    in_sim(main)
