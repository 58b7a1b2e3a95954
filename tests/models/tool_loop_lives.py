"""Lives of a model agent in a tool loop, each in a process of its own, ended by SIGKILL at one instant.

Run as a script: it imports everything once, then forks a child for each life. For each instant of the
loop (numbered as they come) one life is killed at it, and another goes on with the run to its end.
Arguments: one JSON object. Prints a JSON line for each run: where it was killed, what it came to, and
what the tools did.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from pydantic_ai import Tool
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers.openai import OpenAIProvider

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, agent_context
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.store import open_store


class Life:
    """One process, which is killed at its instant with the number *kill_at*."""

    def __init__(self, options: dict[str, Any], run_id: str, kill_at: int | None) -> None:
        self.options = options
        self.run_id = run_id
        self.kill_at = kill_at
        self.instants = 0
        self.log = os.open(options["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(self, kind: str, **more: Any) -> None:
        """Do what the world sees: one line, which no SIGKILL takes back."""
        line = {"run": self.run_id, "kind": kind, "life": self.kill_at, **more}
        os.write(self.log, (json.dumps(line) + "\n").encode())

    def instant(self, name: str) -> None:
        """Come to an instant, at which this life may end."""
        self.instants += 1
        if self.instants == self.kill_at:
            self.note("killed", at=name)
            os.kill(os.getpid(), signal.SIGKILL)

    # -- what it does --------------------------------------------------------------------------------

    async def tool(self, n: int) -> str:
        """Do the thing number n."""
        key = agent_context()["idempotency_key"]
        self.instant("tool")
        self.note("tool", key=key, n=n)
        self.instant("done")
        return f"did {n}"

    def blocking(self, n: int) -> str:
        """Do the thing number n, in a thread."""
        self.note("tool", key=agent_context()["idempotency_key"], n=n)
        return f"did {n}"

    def engine(self) -> OrchestrationEngine:
        model = Watched(
            OpenAIChatModel(
                "gpt-4o-mini",
                provider=OpenAIProvider(base_url=self.options["provider"], api_key="none"),
            ),
            self,
        )
        gated = Tool(self.tool, name="gated", requires_approval=True)
        agent = Agent(
            "worker",
            model=model,
            tools=[
                Tool(self.tool, name="act"),
                Tool(self.blocking, name="block"),
                gated,
            ],
        )
        lead = Agent("lead", handler=lambda payload: agent.ask(payload))
        engine = OrchestrationEngine(
            EngineConfig(
                state_store=self.options["url"],
                persist_state=True,
                recover_on_start=True,
                recover_every_seconds=0.05,
                lease_seconds=self.options["lease_seconds"],
            )
        )
        engine.register_agent("worker", agent)
        engine.register_agent("lead", lead)
        return engine

    async def main(self) -> Any:
        async with ActorSystem("life"), self.engine() as engine:
            if self.kill_at is not None:
                await engine.start_workflow(
                    workflow={
                        "name": "loop",
                        "steps": [{"id": "s", "agent": self.options["agent"]}],
                    },
                    input_data=self.run_id,
                    workflow_id=self.run_id,
                )
            follow = asyncio.create_task(self.follow(engine))
            try:
                result = await asyncio.wait_for(engine.wait(self.run_id), 60)
            finally:
                follow.cancel()
            spent = (await engine.get_workflow_status(self.run_id)).usage
            self.note("usage", **spent.to_record())
            return result["s"]

    async def follow(self, engine: OrchestrationEngine) -> None:
        """Come to an instant with each event, which is told once it is stored; approve what is asked."""
        if self.kill_at is None or not self.options["stream"]:
            asked: set[str] = set()
            while True:
                for question in (await engine.get_workflow_status(self.run_id)).questions:
                    if question.id not in asked:
                        asked.add(question.id)
                        await engine.approve(self.run_id, question.data["call_id"])
                await asyncio.sleep(0.02)
        async with engine.stream(workflow_id=self.run_id) as events:
            async for event in events:
                if event.kind == "work":
                    continue
                self.instant(str(event.kind))
                if event.kind == "question_asked":
                    await engine.approve(self.run_id, event.data["data"]["call_id"])


class Watched(WrapperModel):
    """A model whose requests and answers are instants."""

    def __init__(self, wrapped: Any, life: Life) -> None:
        super().__init__(wrapped)
        self._life = life

    async def request(self, *args: Any) -> Any:
        self._life.instant("request")
        answer = await self.wrapped.request(*args)
        self._life.instant("answer")
        return answer

    def request_stream(self, *args: Any) -> Any:
        self._life.instant("request")
        return self.wrapped.request_stream(*args)


def live(options: dict[str, Any], run_id: str, kill_at: int | None) -> tuple[int, str]:
    """Live in a process of its own; return how that ended, and what it says."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        try:
            result = asyncio.run(Life(options, run_id, kill_at).main())
            os.write(writing, json.dumps(result).encode())
            code = 0
        except BaseException as error:
            os.write(writing, repr(error).encode()[:4000])
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return status, said


async def recorded(url: str, run_id: str) -> list[str]:
    """Return the places of the inner steps that are recorded of a run."""
    store = open_store(url)
    await store.open()
    try:
        entries = (await store.read_journals([run_id])).get(run_id, ())
        return [entry.data["place"] for entry in entries if entry.kind == "inner_completed"]
    finally:
        await store.close()


def main() -> None:
    options: dict[str, Any] = json.loads(sys.argv[1])
    kill_at = options.get("first", 1)
    while kill_at < 200:
        run_id = f"run-{kill_at}"
        status, said = live(options, run_id, kill_at)
        killed = os.WIFSIGNALED(status)
        if not killed and status != 0:
            raise SystemExit(f"{run_id}: {said}")
        known: list[str] = []
        if killed:
            known = asyncio.run(recorded(options["url"], run_id))
            status, said = live(options, run_id, None)
            if status != 0:
                raise SystemExit(f"{run_id}: {said}")
        print(
            json.dumps({"run": run_id, "killed": killed, "result": said, "recorded": known}),
            flush=True,
        )
        if not killed:
            return
        kill_at += options.get("every", 1)


if __name__ == "__main__":
    main()
