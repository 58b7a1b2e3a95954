"""The way of a message, a crash and a workflow through the library: files entered, changes of file.

    python -m benchmarks.way

Each way is walked once to warm up and then under `sys.setprofile`, on every thread that it uses. A file
is entered when a function of it is called; a change of file is a call into another file of the
library than the call before. Both measure how much there is to read for an engineer who follows the
way.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import agenticaiframework.actors as actors_package
from agenticaiframework.actors import ActorSystem, Agent
from agenticaiframework.orchestration import AgentSupervisor, EngineConfig, OrchestrationEngine

LAYERS = Path(actors_package.__file__).parent.parent
"""Where the packages of the library stand; in a checkout some of it are links to its folders."""


class Way:
    """The files of the library that calls go through while this is entered, in their order."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.changes = 0
        self._here: dict[int, str] = {}
        self._names: dict[CodeType, str | None] = {}

    def __enter__(self) -> Way:
        threading.setprofile(self._see)
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_exc: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]

    def _see(self, frame: FrameType, event: str, _arg: Any) -> None:
        name = self._name(frame.f_code) if event == "call" else None
        if name is None:
            return
        if name not in self.files:
            self.files.append(name)
        thread = threading.get_ident()
        if self._here.get(thread) != name:
            self._here[thread] = name
            self.changes += 1

    def _name(self, code: CodeType) -> str | None:
        """Return the file of *code* inside the library, or None."""
        if code not in self._names:
            path = Path(code.co_filename)
            inside = "agenticaiframework" in path.parts and path.parent != Path(__file__).parent
            self._names[code] = (
                "/".join(path.parts[path.parts.index("agenticaiframework") + 1 :])
                if inside
                else None
            )
        return self._names[code]


async def handle(payload: Any) -> Any:
    """Answer with *payload*, or crash."""
    if payload == "crash":
        raise ValueError(payload)
    return payload


async def first_ask() -> Way:
    """Ask an agent for the first time: its actor is started for it."""
    async with ActorSystem():
        warm, agent = Agent("warm", handler=handle), Agent("worker", handler=handle)
        await warm.ask("hello")
        way = await walked(lambda: agent.ask("hello"))
        assert agent.is_alive
        return way


async def crash_and_restart() -> Way:
    """Let an agent crash under its supervisor, and wait until it has been started again."""

    async with ActorSystem() as system:
        agent = Agent("worker", handler=handle)
        supervisor = AgentSupervisor(name="top")
        supervisor.add_child("worker", agent)
        await supervisor.start()

        async def walk() -> None:
            agent.tell("crash")
            for _ in range(100):
                await asyncio.sleep(0)

        await walk()
        way = await walked(walk)
        assert agent.address(system).incarnation == 3
        await supervisor.stop()
        return way


async def stored_workflow() -> Way:
    """Run a workflow of one step, kept in a file, to its end."""

    with tempfile.TemporaryDirectory() as folder:
        async with ActorSystem():
            agent = Agent("worker", handler=handle)
            engine = OrchestrationEngine(
                EngineConfig(state_store=f"sqlite:///{folder}/runs.sqlite")
            )
            workflow = {"name": "one", "steps": [{"id": "only", "agent": "worker"}]}

            async def walk() -> None:
                await engine.execute(workflow=workflow)

            await walk()
            way = await walked(walk)
            assert agent.is_alive
            return way


async def walked(walk: Callable[[], Awaitable[object]]) -> Way:
    """Return the way that *walk* takes."""
    way = Way()
    with way:
        await walk()
    return way


WAYS: tuple[tuple[str, Callable[[], Awaitable[Way]]], ...] = (
    ("a first ask", first_ask),
    ("a crash with its restart", crash_and_restart),
    ("a stored one-step workflow", stored_workflow),
)


def main() -> None:
    """Print the table of the ways, and with ``-v`` the files."""
    logging.getLogger("pykka").setLevel(logging.CRITICAL)
    print(f"{'':28}{'files':>7}{'changes':>9}")
    for name, measure in WAYS:
        way = asyncio.run(measure())  # type: ignore[arg-type]
        print(f"{name:28}{len(way.files):7}{way.changes:9}")
        if "-v" in sys.argv:
            print("".join(f"    {file}\n" for file in way.files), end="")


if __name__ == "__main__":
    main()
