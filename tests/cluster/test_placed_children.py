"""Children of a supervisor on several nodes: ``ChildSpec(..., node="gpu")``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from far_actors import Far

from agenticaiframework.actors import ActorSystem
from agenticaiframework.actors.simulation import SimCluster
from agenticaiframework.supervision import (
    BadOption,
    ChildSpec,
    Supervisor,
    SupervisorFlags,
    branch_of,
    start_child,
    which_children,
)

Run = Callable[..., Any]


class Spread(Supervisor):
    """Has a child at home, one on the only node without a GPU, and four on those with one."""

    def init(self) -> Any:
        flags = SupervisorFlags(strategy="one_for_one", intensity=1, period_s=60)
        return flags, [
            ChildSpec("near", Far),
            ChildSpec("c", (Far, "c"), node="c"),
            *(ChildSpec(f"gpu-{n}", (Far, n), node="gpu") for n in range(4)),
        ]


async def places(ref: Any) -> dict[str, str]:
    """Return the names of the systems that the children of *ref* run in, by their ids."""
    children = await which_children(ref)
    return {child.id: (await child.child.request(("where",)))[:6] for child in children}


def test_children_start_on_nodes_with_their_label_and_elsewhere_after_a_loss(
    in_cluster: Run,
) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = system.start(Spread)
        before = await places(ref)
        assert (before.pop("near"), before.pop("c")) == ("head", "node c")
        assert sorted(before.values()) == ["node a", "node a", "node b", "node b"]
        cluster.kill("a")
        await asyncio.sleep(3)
        after = await places(ref)
        assert [after[f"gpu-{n}"] for n in range(4)] == ["node b"] * 4
        branch = branch_of(ref, 0, 10)
        # One event for the limit of one restart, however many children ran there.
        assert branch is not None
        assert branch.node.in_window == 1
        assert [child.node for child in branch.children] == [None, "c", "b", "b", "b", "b"]

    in_cluster(main)


def test_a_child_on_another_node_crashes_and_ends_like_one_here(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = system.start(Spread)
        child = next(c.child for c in await which_children(ref) if c.id == "c")
        with pytest.raises(ValueError, match="bug"):
            await child.request(("raise", ValueError("bug")))
        await asyncio.sleep(1)
        again = next(c.child for c in await which_children(ref) if c.id == "c")
        assert again is not child
        assert await again.request(("tag",)) == "c"
        ref.kill()
        await asyncio.sleep(1)
        for name in "abc":
            left = cluster.node(name).system.actors()
            assert [ref for ref in left if ref.actor_class is Far] == []

    in_cluster(main)


def test_what_cannot_be_placed_says_so(in_cluster: Run) -> None:
    with pytest.raises(BadOption, match="node='gpu'"):
        ChildSpec("x", Far, node="")
    with pytest.raises(BadOption, match="Actor class"):
        ChildSpec("x", lambda supervisor: None, node="gpu")

    class Local(Far):
        pass

    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = system.start(Spread)
        result = await start_child(ref, ChildSpec("x", Local, node="gpu"))
        assert "cannot go to another node" in str(result)
        result = await start_child(ref, ChildSpec("y", Far, node="tpu"))
        assert "answers to 'tpu'" in str(result)

    in_cluster(main)
