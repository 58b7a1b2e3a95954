"""The same over Ray: real processes and real SIGKILL, on two machines of one machine (`ray_machines`)."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from far_actors import Far, research, where
from far_orders import STEPS, engine, open_engine, take_order
from loguru import logger
from ray_machines import (
    FIRST,
    LONG,
    SECOND,
    SPARE,
    SPARE_TOO,
    Machines,
    ended,
    has_ended,
    processes_of,
    run_in_ray,
    two_machines,
    until,
)

from agenticaiframework import Agent
from agenticaiframework.actors import (
    ActorDied,
    ActorSystem,
    CannotTravel,
    Exit,
    NameTaken,
    NodeDown,
    NodeUp,
    NoNode,
    RayCluster,
    WrongUse,
    WrongVersion,
)
from agenticaiframework.orchestration import (
    AgentSupervisor,
    EngineConfig,
    OrchestrationEngine,
    RestartPolicy,
    WorkflowFailed,
)
from agenticaiframework.testing import scripted_model

ray: Any = pytest.importorskip("ray", reason="the extra ray is not installed")

pytestmark = [
    pytest.mark.slow,
    # Ray's own, all of them at import or when its processes end.
    pytest.mark.filterwarnings("ignore"),
]

POSTGRES = os.environ.get("AGENTICAI_TEST_POSTGRES", "")

KILLS = int(os.environ.get("AGENTICAI_TEST_NODE_KILLS", "2"))
"""How often a node is killed under load; each takes some seconds, in which it is started again."""

Run = Callable[..., Any]


def drop_schema(schema: str) -> None:
    import psycopg

    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder = tmp_path_factory.mktemp("notes")
    schema = f"cluster_{os.getpid()}"
    store = f"{POSTGRES}?schema={schema}" if POSTGRES else f"sqlite:///{folder}/runs.sqlite"
    with two_machines(folder, store) as machines:
        yield machines
    if POSTGRES:
        drop_schema(schema)


@pytest.fixture
def store(machines: Machines) -> str:
    """Return the URL of a store that all nodes share: PostgreSQL where there is one."""
    return os.environ["FAR_STORE"]


@pytest.fixture
def in_ray(machines: Machines) -> Iterator[Run]:
    """Run ``main(system, cluster)`` on these machines."""
    yield partial(run_in_ray, limit_s=300 + 10 * KILLS)
    machines.end()
    for name in ("researched", "picked", "waiting", "go"):
        noted(name).unlink(missing_ok=True)


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """Return what is logged; not what is on stderr, which a test before may have taken from the log."""
    said: list[str] = []
    sink = logger.add(said.append, level="WARNING", format="{message}")
    yield said
    logger.remove(sink)


def noted(name: str) -> Path:
    """Return the file of that name, in which nodes note what they do."""
    return Path(os.environ["FAR_NOTES"]) / name


async def lines_of(name: str, count: int) -> list[str]:
    """Return the lines of a file of notes, once it has *count*."""
    file = noted(name)
    await until(lambda: file.exists() and file.read_text().count("\n") >= count)
    return file.read_text().splitlines()


def test_refs_links_names_and_labels(in_ray: Run) -> None:
    async def main(system: ActorSystem, cluster: RayCluster) -> None:
        assert [node.name for node in system.cluster.nodes[1:]] == ["127.0.0.2", "127.0.0.3"]
        ref = await system.cluster.start(Far, "x", node="disk")
        assert system.cluster.node_of(ref).name == "127.0.0.3"
        for number in range(1000):
            ref.tell(number)
        assert await ref.request(("seen",)) == list(range(1000))
        with pytest.raises(ValueError, match="no"):
            await ref.request(("raise", ValueError("no")))
        other = await system.cluster.start(Far, None, True, node="127.0.0.2")
        assert await other.request(("ask", ref, ("tag",))) == "x"
        await other.request(("link", ref))
        await system.cluster.register("boss", ref)
        with pytest.raises(NameTaken):
            await other.request(("register", "boss"))
        assert await system.cluster.whereis("boss") is ref
        ref.exit("over")
        assert await ended(ref) == "over"
        while not (seen := await other.request(("seen",))):
            await asyncio.sleep(0.05)
        assert [(type(message), message.reason) for message in seen] == [(Exit, "over")]
        with pytest.raises(NoNode):
            await system.cluster.start(Far, node="moon")
        with pytest.raises(CannotTravel):
            other.tell(lambda: None)

    in_ray(main)


class StartsAtTheThirdTry(RayCluster):
    """Fails to start what has to be started anew, at first."""

    tries = 0

    async def _open_host(self, place: str, found: Any) -> Any:
        self.tries += 1
        if self.tries == 3:
            raise RuntimeError("no room")
        return await super()._open_host(place, found)


def test_a_killed_process_is_seen_at_once_and_its_children_start_elsewhere(
    in_ray: Run, warnings: list[str]
) -> None:
    async def main(system: ActorSystem, cluster: RayCluster) -> None:
        events: list[Any] = []
        system.subscribe(events.append, NodeDown)
        system.subscribe(events.append, NodeUp)
        agents = [Agent(f"far{number}", handler=where, node="gpu") for number in range(6)]
        supervisor = AgentSupervisor(
            "s", restart_policy=RestartPolicy(max_restarts=1, within_seconds=60)
        )
        for agent in agents:
            supervisor.add_child(agent.name, agent)
        async with supervisor:
            processes = Counter([await agent.ask(None) for agent in agents])
            assert len(processes) == 2
            victim = cluster.process_of("127.0.0.2")
            assert victim is not None
            assert victim in processes
            asked = [agent.request("wait") for agent in agents]
            await lines_of("waiting", len(agents))
            os.kill(victim, signal.SIGKILL)
            noted("go").touch()
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
            assert len(failed) == processes[victim]  # those of the other node have answered
            now = {await agent.ask(None, timeout=120) for agent in agents}
            assert victim not in now
            await until(lambda: len(events) == 2)
            assert [type(event) for event in events] == [NodeDown, NodeUp]
            assert events[0].node.name == events[1].node.name == "127.0.0.2"
            assert events[0].node.id != events[1].node.id
        assert "Node 127.0.0.2 was not started: RuntimeError: no room\n" in warnings
        lost = [text for text in warnings if "child terminated" in text]
        assert lost
        assert all("(restart 1 of 1 in 60 s)" in text for text in lost), lost

    in_ray(main, kind=StartsAtTheThirdTry)


def test_kills_of_nodes_under_load_leave_nothing_unaccounted_for(
    in_ray: Run, tmp_path: Path
) -> None:
    async def main(system: ActorSystem, cluster: RayCluster) -> None:
        letters: Counter[Any] = Counter()
        system.dead_letters.subscribe(lambda letter: letters.update([letter.message]))
        asks: list[Any] = []
        told = 0
        for kill in range(KILLS):
            await until(lambda: len(system.cluster.nodes) == 3)
            ref = await system.cluster.start(Far, str(tmp_path / str(kill)), node="127.0.0.3")
            victim = cluster.process_of(system.cluster.node_of(ref).id)
            assert victim is not None
            sent: list[Any] = []
            (tmp_path / str(kill)).touch()
            while ref.is_alive():
                for _ in range(50):
                    number = told = told + 1
                    try:
                        await ref.send(("write", number))  # waits where the queue is full
                        sent.append(("write", number))
                    except ActorDied:
                        break
                    asks.append(ref.request(("where",), 120))
                if len(sent) == 150 and kill % 2 == 0:
                    await ref.request(("where",))  # half of them die with something behind them
                if len(sent) == 400:
                    os.kill(victim, signal.SIGKILL)
                await asyncio.sleep(0)
            await ended(ref)
            written = set((tmp_path / str(kill)).read_text().split())
            missing = [message for message in sent if str(message[1]) not in written]
            # What is in neither was taken by the node, which died before its turn came.
            first_letter = next((m[1] for m in sent if letters[m]), told + 1)
            assert all(letters[m] == 1 or m[1] < first_letter for m in missing)
            assert all(count == 1 for count in letters.values())
        outcomes = await asyncio.gather(*asks, return_exceptions=True)
        assert all(isinstance(o, str | ActorDied) for o in outcomes), Counter(map(type, outcomes))

    in_ray(main)


def complete_example(**engine_options: Any) -> Any:
    """Return the page's complete example as it stands, but for where the researcher runs.

    Its step is tried again, since what was under way on a lost node is lost with it.
    """
    page = (Path(__file__).parents[1] / "page" / "orchestration.md").read_text("utf-8")
    after = page.partition("## Complete Example")[2]
    code: str = re.findall(r"```python\n(.*?)```", after, re.DOTALL)[0]
    for old, new in (
        (
            'name="Researcher",\n    model="gpt-4",',
            'name="Researcher", handler=research, node=PLACE,',
        ),
        ('"team": "research_team",', '"team": "research_team", "retry": {"attempts": 3},'),
        ("OrchestrationEngine()", "OrchestrationEngine(CONFIG)"),
    ):
        assert code.count(old) == 1
        code = code.replace(old, new)
    return compile(code, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def run_complete_example(place: str, store: str | None, kill: Callable[[int], Any]) -> Any:
    """Run it, and `kill` the process of its researcher in the middle of the step; return its names."""
    answers = {
        "Classifier": '{"category": "health"}',
        "Analyst": "insights",
        "Writer": '{"draft": "a draft"}',
        "Reviewer": {"final_report": "The end"},
    }
    config = None if store is None else EngineConfig(state_store=store, persist_state=True)
    names: dict[str, Any] = {"research": research, "PLACE": place, "CONFIG": config}

    async def kill_it() -> None:
        await kill(int((await lines_of("researched", 1))[0]))

    killing = asyncio.create_task(kill_it())
    with scripted_model(lambda agent, payload: answers[agent]):
        await eval(complete_example(), names)
    await killing
    assert names["result"]["review"]["final_report"] == "The end"
    first, *others = noted("researched").read_text().split()
    assert len(others) == 1
    assert first not in others
    if store is not None:
        runs = await names["engine"].list_workflows(name="comprehensive_research")
        assert [run.state for run in runs] == ["completed"]
    await names["engine"].stop()
    return names


async def kill_process(process: int) -> None:
    os.kill(process, signal.SIGKILL)


def test_the_complete_example_finishes_when_its_researchers_node_is_killed(
    in_ray: Run, store: str
) -> None:
    async def main(system: ActorSystem, cluster: RayCluster) -> None:
        await run_complete_example("gpu", store, kill_process)

    in_ray(main)


@pytest.mark.skipif(not LONG, reason="AGENTICAI_TEST_RAY=long runs it")
@pytest.mark.parametrize("kept", ["in memory", "in SQLite", "in the cluster's store"])
def test_the_complete_example_finishes_when_its_researchers_machine_is_lost(
    in_ray: Run, machines: Machines, store: str, tmp_path: Path, kept: str
) -> None:
    for address in (SPARE, SPARE_TOO):
        machines.add(address, spare=1)

    async def main(system: ActorSystem, cluster: RayCluster) -> None:
        sqlite = f"sqlite:///{tmp_path}/runs.sqlite"
        where_to = {"in memory": None, "in SQLite": sqlite}.get(kept, store)

        async def lose(process: int) -> None:
            [lost] = [a for a in (SPARE, SPARE_TOO) if cluster.process_of(a) == process]
            await machines.lose(lost)

        await run_complete_example("spare", where_to, lose)

    in_ray(main, lease_s=2.0)


def test_runs_move_to_another_nodes_engine_when_a_node_is_killed(in_ray: Run) -> None:
    async def main(system: ActorSystem, cluster: RayCluster) -> None:
        supervisor = AgentSupervisor(
            "engines", restart_policy=RestartPolicy(max_restarts=100, within_seconds=60)
        )
        first, second = (
            Agent(f"orders on {node}", handler=take_order, on_start=open_engine, node=node)
            for node in (FIRST, SECOND)
        )
        supervisor.add_child("first", first)
        supervisor.add_child("second", second)
        client = engine(recovers=False)
        async with supervisor, client:
            ids = [f"order-{number}" for number in range(12)]
            lost = {await first.ask({"id": run}) for run in ids[:8]}
            kept = {await second.ask({"id": run}) for run in ids[8:]}
            await lines_of("picked", 8)
            [victim] = lost
            os.kill(victim, signal.SIGKILL)
            noted("go").touch()
            results = [await client.wait(run, timeout=120) for run in ids]
            assert results == [{f"s{number}": number for number in range(STEPS)}] * len(ids)
            attempts = [json.loads(line) for line in await lines_of("picked", 8)]
            # No attempt was made twice but what the kill cut off, and the lost node's runs went on elsewhere.
            counted = Counter(tuple(attempt[:3]) for attempt in attempts if attempt[3] != victim)
            assert max(counted.values()) == 1, counted.most_common(3)
            assert {where for run, _, _, where in attempts if run == ids[8]} == kept
            for run in ids[:8]:
                last = [where for of, step, _, where in attempts if (of, step) == (run, "s3")]
                assert victim not in last
                assert (await client.get_workflow_status(run)).state == "completed"
            assert (await first.ask({"id": "order-12"}, timeout=120)) not in (victim, *kept)
            assert await client.wait("order-12", timeout=120) == results[0]
        engine.cache_clear()

    in_ray(main)


def test_a_step_whose_agents_node_is_lost_is_tried_again_or_says_which_node(in_ray: Run) -> None:
    async def main(system: ActorSystem, cluster: RayCluster) -> None:
        agent = Agent("far", handler=where, node="gpu")
        async with AgentSupervisor("s") as supervisor, OrchestrationEngine() as runs:
            supervisor.add_child("far", agent)
            runs.register_agent("far", agent)
            for attempts in (3, 1):
                step = {"id": "s", "agent": "far", "input": "wait", "retry": {"attempts": attempts}}
                victim = await agent.ask(None, timeout=120)
                name = system.cluster.node_of(agent.address().ref).name
                running = asyncio.create_task(runs.execute({"name": "w", "steps": [step]}))
                await lines_of("waiting", 1)
                os.kill(victim, signal.SIGKILL)
                noted("go").touch()
                if attempts > 1:
                    assert (await running)["s"] != victim
                else:
                    with pytest.raises(
                        WorkflowFailed, match=f"noconnection.*node '{name}' is lost"
                    ):
                        await running
                noted("waiting").unlink()
                noted("go").unlink()

    in_ray(main)


def test_a_node_whose_loop_is_blocked_ends_before_it_is_taken_for_lost(in_ray: Run) -> None:
    async def main(system: ActorSystem, cluster: RayCluster) -> None:
        ref = await system.cluster.start(Far, node="disk")
        process = cluster.process_of(SECOND)
        assert process is not None
        asked = ref.request(("block", 60))
        with pytest.raises(ActorDied, match="noconnection"):
            await asked
        assert has_ended(process)

    in_ray(main, lease_s=15.0)  # a tenth of it is between the two: enough for a busy machine


@pytest.mark.skipif(not LONG, reason="AGENTICAI_TEST_RAY=long runs it")
def test_a_lost_machine_is_lost_with_its_lease(in_ray: Run, machines: Machines) -> None:
    machines.add(SPARE, spare=1)

    async def main(system: ActorSystem, cluster: RayCluster) -> None:
        ref = await system.cluster.start(Far, node="spare")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await machines.lose(SPARE)
        reason = await ended(ref)
        assert reason == "noconnection"
        print(f"seen after {loop.time() - began:.2f} s")

    in_ray(main, lease_s=2.0)


def test_a_node_with_other_versions_does_not_join() -> None:
    from agenticaiframework.actors.ray_cluster.ray_module import check_versions, versions

    check_versions("x", versions())
    with pytest.raises(WrongVersion, match=r"Node x .*Python 3\.9 there"):
        check_versions("x", {**versions(), "Python": "3.9"})


def test_a_cluster_is_said_in_one_way() -> None:
    for wrong in ({}, {"address": "auto", "local_nodes": 2}, {"local_nodes": 0}):
        with pytest.raises(WrongUse, match="local_nodes"):
            RayCluster(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "program",
    [
        "main.py",
        pytest.param(
            "shop.py",
            marks=pytest.mark.skipif(not LONG, reason="AGENTICAI_TEST_RAY=long runs it"),
        ),
    ],
)
def test_the_guides_program_runs_and_leaves_nothing(tmp_path: Path, program: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text("utf-8")
    for name, code in re.findall(r'```python title="(\S+)"\n(.*?)```', page, re.DOTALL):
        (tmp_path / name).write_text(code, "utf-8")
    shown = re.search(rf"\$ python {program}\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    folder = tempfile.mkdtemp(prefix="agents-")  # short, since sockets stand in it
    store = POSTGRES and f"{POSTGRES}?schema=shop_{os.getpid()}"
    surroundings = {
        **os.environ,
        "TMPDIR": folder,
        "ORDERS_STORE": store or f"sqlite:///{tmp_path}/orders.sqlite",
    }
    done = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.stdout == shown[1], done.stderr[-2000:]
    assert processes_of(folder) == []
    assert os.listdir(folder) == []
    os.rmdir(folder)
    if store:
        drop_schema(f"shop_{os.getpid()}")
