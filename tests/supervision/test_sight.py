"""What can be seen of a tree: data, text, drawing, events and log records."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from loguru import logger

from agenticaiframework.actors import Actor, ActorSystem, Agent, AgentFailed
from agenticaiframework.supervision import (
    AgentSupervisor,
    ChildSpec,
    DynamicSupervisor,
    ReportKind,
    RestartPolicy,
    Supervisor,
    SupervisorReport,
    TaskSupervisor,
    count_children,
    start_child,
    tree_of_ref,
)

Run = Callable[..., Any]


async def answer(payload: Any) -> Any:
    if payload == "boom":
        raise ValueError("boom: it broke")
    if payload == "wait":
        await asyncio.sleep(5)
    return payload


def research() -> AgentSupervisor:
    root = AgentSupervisor("root", restart_policy=RestartPolicy(max_restarts=3, within_seconds=60))
    io = AgentSupervisor("io", "rest_for_one", RestartPolicy(max_restarts=1, within_seconds=5))
    for name in ("reader", "writer"):
        io.add_child(name, Agent(name, handler=answer))
    root.add_child("researcher", Agent("researcher", handler=answer))
    root.add_supervisor("io", io)
    return root


async def fail(supervisor: AgentSupervisor, name: str) -> None:
    with pytest.raises(AgentFailed):
        await supervisor.ask(name, "boom")


def test_a_tree_that_was_not_started_can_be_looked_at() -> None:
    tree = research().tree()
    assert str(tree) == (
        "root  [one_for_one]  new  window 0/3 in 60 s\n"
        "├─ researcher  new\n"
        "└─ io  [rest_for_one]  new  window 0/1 in 5 s\n"
        "   ├─ reader  new\n"
        "   └─ writer  new"
    )


def test_a_running_tree_shows_restarts_windows_and_last_exits(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        root = research()
        await root.start()
        await fail(root, "researcher")
        await root.wait_until("researcher")
        await fail(root, "io/reader")
        await root.wait_until("io/writer")
        waiting = [asyncio.ensure_future(root.ask("io/writer", p)) for p in ("wait", 1, 2)]
        await asyncio.sleep(1)
        tree = root.tree()
        assert str(tree) == (
            "root  [one_for_one]  running  window 1/3 in 60 s\n"
            "├─ researcher  running #2  restarts 1  last exit: ValueError: boom: it broke\n"
            "└─ io  [rest_for_one]  running  window 1/1 in 5 s\n"
            "   ├─ reader  running #2  restarts 1  last exit: ValueError: boom: it broke\n"
            "   └─ writer  running #2  mailbox 2  last exit: shutdown"
        )
        researcher = tree.find("researcher")
        assert researcher is not None
        assert researcher.traceback is not None
        assert "ValueError: boom: it broke" in researcher.traceback
        writer = tree.find("io/writer")
        assert writer is not None
        assert (writer.activity, writer.mailbox_length) == ("waiting", 2)
        assert tree.find("io/nobody") is None
        assert [path for path, _ in tree.walk()] == [
            "root",
            "root/researcher",
            "root/io",
            "root/io/reader",
            "root/io/writer",
        ]
        assert json.loads(json.dumps(tree.as_dict()))["children"][1]["children"][0]["restarts"] == 1
        await asyncio.gather(*waiting)

    in_sim(main)


def test_what_waits_for_a_child_in_its_backoff_is_counted(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool", restart_policy=RestartPolicy(initial_delay_ms=5000))
        supervisor.add_child("a", Agent("a", handler=answer))
        await supervisor.start()
        await fail(supervisor, "a")
        supervisor.tell("a", 1)
        supervisor.tell("a", 2)
        await asyncio.sleep(1)
        node = supervisor.tree().find("a")
        assert node is not None
        assert (node.state, node.waiting) == ("restarting", 2)

    in_sim(main)


def test_the_drawing_has_a_node_for_everyone_and_an_edge_for_each_child(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> str:
        root = research()
        root.add_child('odd "name" <b>', Agent("odd", handler=answer))
        async with root:
            await fail(root, "researcher")
            await root.wait_until("researcher")
            return root.tree().mermaid()

    lines = in_sim(main).splitlines()
    assert lines[0] == "flowchart TD"
    assert '    n0["root<br/>one_for_one"]:::running' in lines
    assert '    n1("researcher<br/>restarts: 1"):::running' in lines
    assert '    n5("odd #quot;name#quot; #lt;b#gt;"):::running' in lines
    edges = {line.strip() for line in lines if "-->" in line}
    assert edges == {"n0 --> n1", "n0 --> n2", "n2 --> n3", "n2 --> n4", "n0 --> n5"}


def test_plain_and_dynamic_supervisors_are_seen_from_their_refs(in_sim: Run) -> None:
    class Worker(Actor):
        def on_receive(self, message: Any) -> Any:
            return message

    async def main(system: ActorSystem) -> None:
        top = system.start(
            Supervisor,
            {},
            [
                ChildSpec("pool", DynamicSupervisor, type="supervisor"),  # type: ignore[arg-type]
                ChildSpec("a", Worker),
            ],
        )
        await count_children(top)
        tree = tree_of_ref("top", top)
        assert tree is not None
        pool = tree.find("pool")
        assert pool is not None
        assert pool.pid is not None
        (ref,) = [ref for ref in system.actors() if ref.pid == pool.pid]
        await start_child(ref, ChildSpec("any", Worker))
        tree = tree_of_ref("top", top)
        assert tree is not None
        assert str(tree).replace(str(ref.pid + 2), "N") == (
            "top  [one_for_one]  running  window 0/1 in 5 s\n"
            "├─ pool  [one_for_one]  running  window 0/1 in 5 s\n"
            "│  └─ Worker#N  running\n"
            "└─ a  running"
        )
        assert tree_of_ref("none", system.start(Worker)) is None

    in_sim(main)


def test_each_restart_and_give_up_is_one_event_and_one_record(in_sim: Run) -> None:
    records: list[Any] = []

    async def main(system: ActorSystem) -> list[SupervisorReport]:
        reports: list[SupervisorReport] = []
        system.subscribe(reports.append, SupervisorReport)
        root = AgentSupervisor("root", restart_policy=RestartPolicy(max_restarts=5))
        io = AgentSupervisor("io", restart_policy=RestartPolicy(max_restarts=1))
        io.add_child("reader", Agent("reader", handler=answer))
        root.add_supervisor("io", io)
        await root.start()
        for _ in range(2):
            await fail(root, "io/reader")
        await root.ask("io/reader", 1)
        return reports

    sink = logger.add(records.append, level="INFO", format="{message}")
    logger.enable("agenticaiframework")
    try:
        reports = in_sim(main)
    finally:
        logger.remove(sink)
    assert [(r.kind, r.child, r.supervisor.name) for r in reports] == [
        (ReportKind.CHILD_TERMINATED, "reader", "io"),
        (ReportKind.CHILD_TERMINATED, "reader", "io"),
        (ReportKind.SHUTDOWN, "reader", "io"),
        (ReportKind.CHILD_TERMINATED, "io", "root"),
    ]
    assert [r.restarts for r in reports] == [0, 1, 1, 0]
    told = [r.record for r in records if "report" in r.record["extra"]]
    assert [r["extra"]["report"] for r in told] == [r.kind.value for r in reports]
    assert [r["level"].name for r in told] == ["WARNING", "WARNING", "ERROR", "WARNING"]
    first, *traceback = told[0]["message"].split("\n")
    assert first == (
        "io: child terminated: 'reader': ValueError: boom: it broke "
        "(restart 1 of 1 in 60 s); it is restarted at once"
    )
    assert traceback[-1] == "ValueError: boom: it broke"
    assert told[3]["extra"]["supervisor"] == "root"


def test_another_thread_may_look_at_a_tree_that_changes() -> None:
    looks: list[str] = []
    done = threading.Event()

    async def main() -> None:
        async with ActorSystem(), TaskSupervisor("tasks") as tasks:
            supervisor = AgentSupervisor("pool")
            supervisor.add_child("first", Agent("first", handler=answer))

            def look() -> None:
                try:
                    while not done.is_set():
                        looks.append(str(supervisor.tree()) + str(tasks.tree()))
                except RuntimeError as error:
                    looks.append(repr(error))

            async with supervisor:
                looking = asyncio.create_task(asyncio.to_thread(look))
                while len(looks) < 300 and not looking.done():
                    await supervisor.add_child("another", Agent("another", handler=answer))
                    running = [await tasks.async_nolink(asyncio.sleep, 0) for _ in range(3)]
                    await asyncio.gather(*running)
                    await supervisor.remove_child("another")
                done.set()
                await looking

    switch_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        asyncio.run(main())
    finally:
        sys.setswitchinterval(switch_s)
    assert [seen for seen in looks if "RuntimeError" in seen] == []
