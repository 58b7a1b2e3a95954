"""The page's blocks on supervision, run as they stand."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from blocks import block, run_block

from agenticaiframework.orchestration import (
    AgentSupervisor,
    RestartPolicy,
    RestartType,
    SupervisionStrategy,
)


class Flaky:
    """Answers with its incarnation; the payload ``crash`` ends it with an error."""

    def __init__(self, starts: list[str], name: str) -> None:
        self.starts = starts
        self.name = name

    def on_start(self) -> None:
        self.starts.append(self.name)

    async def handler(self, payload: Any) -> Any:
        if payload == "crash":
            raise ValueError(f"{self.name} crashed")
        return self.starts.count(self.name)


def flaky(cast: Any, starts: list[str], name: str) -> Any:
    behaviour = Flaky(starts, name)
    return cast.agent(name, behaviour.handler, on_start=behaviour.on_start)


async def crash(supervisor: Any, child: str) -> None:
    with pytest.raises(Exception, match=f"{child} crashed|{child}"):
        await supervisor.ask(child, "crash")


def test_the_basic_block_restarts_only_the_worker_that_failed(cast: Any, in_system: Any) -> None:
    starts: list[str] = []

    async def main() -> None:
        workers = {f"worker_agent_{n}": flaky(cast, starts, f"worker_{n}") for n in (1, 2, 3)}
        names = await run_block(block("Agent Supervisor / Basic Usage"), workers)
        supervisor = names["supervisor"]
        assert starts == ["worker_1", "worker_2", "worker_3"]
        await crash(supervisor, "worker_2")
        assert await supervisor.ask("worker_2", "which?") == 2
        assert await supervisor.ask("worker_1", "which?") == 1
        assert await supervisor.ask("worker_3", "which?") == 1
        await supervisor.stop()

    in_system(main)


def test_the_strategies_block_names_four(in_system: Any) -> None:
    async def main() -> None:
        names = await run_block(block("Agent Supervisor / Supervision Strategies"))
        assert [s.name for s in names["SupervisionStrategy"]] == [
            "ONE_FOR_ONE",
            "ONE_FOR_ALL",
            "REST_FOR_ONE",
            "SIMPLE_ONE_FOR_ONE",
        ]

    in_system(main)


@pytest.mark.parametrize(
    ("strategy", "restarted"),
    [
        (SupervisionStrategy.ONE_FOR_ONE, {"b"}),
        (SupervisionStrategy.ONE_FOR_ALL, {"a", "b", "c"}),
        (SupervisionStrategy.REST_FOR_ONE, {"b", "c"}),
    ],
)
def test_a_strategy_restarts_whom_the_page_says(
    strategy: SupervisionStrategy, restarted: set[str], cast: Any, in_system: Any
) -> None:
    starts: list[str] = []

    async def main() -> None:
        supervisor = AgentSupervisor(name="s", strategy=strategy)
        for name in ("a", "b", "c"):
            supervisor.add_child(name, flaky(cast, starts, name))
        await supervisor.start()
        await crash(supervisor, "b")
        for name in ("a", "b", "c"):
            expected = 2 if name in restarted else 1
            assert await supervisor.ask(name, "which?") == expected, name
        await supervisor.stop()

    in_system(main)


def test_the_policies_block_describes_backoff_and_types(in_system: Any) -> None:
    async def main() -> None:
        names = await run_block(block("Agent Supervisor / Restart Policies"))
        policy = names["policy"]
        assert policy.type is RestartType.PERMANENT
        assert policy.max_restarts == 5
        delays = [policy.backoff.delay_s(n, 0.0) for n in range(12)]
        assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
        assert max(delays) == 30.0

    in_system(main)


@pytest.mark.parametrize(
    ("kind", "after_crash", "after_normal_end"),
    [
        (RestartType.PERMANENT, True, True),
        (RestartType.TRANSIENT, True, False),
        (RestartType.TEMPORARY, False, False),
    ],
)
def test_a_restart_type_does_what_the_page_says(
    kind: RestartType, after_crash: bool, after_normal_end: bool, cast: Any, in_system: Any
) -> None:
    async def comes_back(crashes: bool) -> bool:
        starts: list[str] = []
        supervisor = AgentSupervisor(name="s", restart_policy=RestartPolicy(type=kind))
        agent = flaky(cast, starts, "only")
        supervisor.add_child("only", agent)
        await supervisor.start()
        if crashes:
            await crash(supervisor, "only")
        else:
            await agent.stop()
        try:
            back = await supervisor.ask("only", "which?") == 2
        except Exception:  # stopped for good, or not there any more: what the page calls "never"
            back = False
        await supervisor.stop()
        return back

    async def main() -> None:
        assert await comes_back(True) is after_crash
        assert await comes_back(False) is after_normal_end

    in_system(main)


def test_the_failures_block_tells_the_operator_and_deploys_a_replacement(
    cast: Any, in_system: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    starts: list[str] = []
    told: list[tuple[str, str]] = []

    async def main() -> None:
        deployed = asyncio.Event()
        supervisor = AgentSupervisor(
            name="s", restart_policy=RestartPolicy(max_restarts=5, within_seconds=60)
        )
        supervisor.add_child("worker", flaky(cast, starts, "worker"))

        async def notify_operator(name: str, error: Exception) -> None:
            told.append((name, str(error)))

        async def deploy_replacement_agent(name: str) -> None:
            supervisor.add_child(name, flaky(cast, starts, "replacement"))
            deployed.set()

        await run_block(
            block("Agent Supervisor / Handling Failures"),
            {
                "supervisor": supervisor,
                "notify_operator": notify_operator,
                "deploy_replacement_agent": deploy_replacement_agent,
            },
        )
        await supervisor.start()
        for _ in range(5):
            await crash(supervisor, "worker")
        assert starts.count("worker") == 6
        # The fifth failure (four restarts made) went to the operator as well.
        assert told == [("worker", "worker crashed")]
        # The sixth failure, five restarts made: the handler says no, and the child stays down.
        await crash(supervisor, "worker")
        assert starts.count("worker") == 6
        assert len(told) == 2
        await supervisor.stop()

    in_system(main)
    assert capsys.readouterr().out.count("Agent worker failed: worker crashed") == 6


def test_the_escalation_handler_of_the_failures_block_replaces_the_child(
    cast: Any, in_system: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    starts: list[str] = []

    async def main() -> None:
        deployed = asyncio.Event()
        supervisor = AgentSupervisor(
            name="s", restart_policy=RestartPolicy(max_restarts=1, within_seconds=60)
        )
        supervisor.add_child("worker", flaky(cast, starts, "worker"))

        async def nobody(*_: Any) -> None:
            """Is not called: the limit is reached first."""

        async def deploy_replacement_agent(name: str) -> None:
            supervisor.add_child(name, flaky(cast, starts, "replacement"))
            deployed.set()

        await run_block(
            block("Agent Supervisor / Handling Failures"),
            {
                "supervisor": supervisor,
                "notify_operator": nobody,
                "deploy_replacement_agent": deploy_replacement_agent,
            },
        )
        await supervisor.start()
        await crash(supervisor, "worker")
        await crash(supervisor, "worker")
        await deployed.wait()
        assert await supervisor.ask("worker", "which?") == 1
        assert starts == ["worker", "worker", "replacement"]
        await supervisor.stop()

    in_system(main)
    assert "Max restarts reached for worker" in capsys.readouterr().out


def test_the_trees_block_restarts_a_subtree_by_its_own_strategy(cast: Any, in_system: Any) -> None:
    starts: list[str] = []

    async def main() -> None:
        agents = {
            f"{name}_agent": flaky(cast, starts, name)
            for name in ("parser", "transformer", "reader", "writer")
        }
        names = await run_block(
            block("Agent Supervisor / Supervisor Trees"),
            {
                "AgentSupervisor": AgentSupervisor,
                "SupervisionStrategy": SupervisionStrategy,
                **agents,
            },
        )
        assert sorted(starts) == ["parser", "reader", "transformer", "writer"]
        processing, io = names["processing_supervisor"], names["io_supervisor"]
        await crash(processing, "parser")
        assert await processing.ask("transformer", "which?") == 2
        assert await processing.ask("parser", "which?") == 2
        await crash(io, "reader")
        assert await io.ask("reader", "which?") == 2
        assert await io.ask("writer", "which?") == 1
        await names["root_supervisor"].stop()

    in_system(main)
