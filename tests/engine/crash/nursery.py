"""Lives of engines, each in a process of its own, most of them ended by SIGKILL.

Run as a script: it imports everything once, then forks a child for each life, so that a life begins
within milliseconds and hundreds of them can be ended at random instants. Arguments: one JSON object.
Prints one JSON object: how many lives there were and how they ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from typing import Any

from agenticaiframework.actors import Agent, agent_context
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowExists,
    WorkflowFailed,
)

AT_ONCE = 6


def flow() -> dict[str, Any]:
    """Every kind of work that a journal has to tell apart."""
    return {
        "name": "crashing",
        "steps": [
            {"id": "first", "agent": "work", "input": {"n": "$input.n"}},
            {"id": "each", "agent": "work", "for_each": ["x", "y", "z"], "input": {"n": "$item"}},
            {
                "id": "loop",
                "agent": "count",
                "input": {"n": 0},
                "until": "$output.n >= 3",
                "max_iterations": 5,
            },
            {"id": "flaky", "agent": "flaky", "retry": {"attempts": 3, "initial_delay_s": 0.001}},
            {"id": "pause", "delay": 0.005},
            {
                "id": "nested",
                "workflow": {
                    "name": "inner",
                    "steps": [
                        {"id": "in1", "agent": "work", "input": {"n": 1}},
                        {"id": "rest", "delay": 0.003},
                        {
                            "id": "deep",
                            "workflow": {
                                "name": "innermost",
                                "steps": [
                                    {"id": "pause", "delay": 0.003},
                                    {"id": "in2", "agent": "work", "input": {"n": 2}},
                                ],
                            },
                        },
                    ],
                },
                "input": {"n": "$first.n"},
            },
            {"id": "last", "agent": "work", "input": {"n": ["$first.n", "$each", "$loop.n"]}},
        ],
    }


def tools_flow() -> dict[str, Any]:
    """Handlers that do several things each, recorded one by one."""
    retry = {"attempts": 3, "initial_delay_s": 0.001}
    return {
        "name": "tools",
        "steps": [
            {"id": "first", "agent": "tools", "input": {"n": "$input.n"}, "retry": retry},
            {
                "id": "each",
                "agent": "tools",
                "for_each": ["x", "y"],
                "input": {"n": "$item"},
                "retry": retry,
            },
            {"id": "last", "agent": "asker", "input": {"n": ["$first.n"]}, "retry": retry},
        ],
    }


FLOWS = {"crashing": flow, "tools": tools_flow}


class Life:
    """One process: an engine, agents with side effects, and runs to be finished."""

    def __init__(self, options: dict[str, Any], number: int) -> None:
        self.options = options
        self.number = number
        self.epoch = float(options["epoch"])
        self.log = os.open(options["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def date(self) -> float:
        """Return the date by a clock that all lives share, and that nobody sets anew meanwhile."""
        return self.epoch + time.monotonic()

    def effect(self, kind: str) -> dict[str, Any]:
        """Do what the world sees: one line, which no SIGKILL takes back."""
        context = agent_context()
        item = f"[{context['item']}]" if "item" in context else ""
        iteration = f"#{context['iteration']}" if "iteration" in context else ""
        step = f"{context['step']}{item}{iteration}"
        entry = {
            "kind": kind,
            "key": f"{context['workflow_id']}:{step}:{context['attempt']}",
            "run": context["workflow_id"],
            "step": context["step"],
            "attempt": context["attempt"],
            "life": self.number,
            "at": self.date(),
        }
        os.write(self.log, (json.dumps(entry) + "\n").encode())
        return entry

    async def work(self, payload: Any) -> Any:
        self.effect("begin")
        await asyncio.sleep(random.random() * 0.004)
        self.effect("end")
        return {"n": payload["n"]}

    async def count(self, payload: Any) -> Any:
        self.effect("begin")
        await asyncio.sleep(random.random() * 0.002)
        return {"n": payload["n"] + 1}

    async def flaky(self, payload: Any) -> Any:
        if self.effect("begin")["attempt"] == 1:
            raise ValueError("the first attempt always fails")
        return {"n": 0}

    async def tools(self, payload: Any) -> Any:
        context = agent_context()
        where = f"{context['step']}[{context.get('item')}]"

        async def use(name: str) -> str:
            await asyncio.sleep(random.random() * 0.002)
            self.effect(f"{where}/{name}")
            return name

        used = [await context.step("one", use, "one")]
        used += await asyncio.gather(*(context.step(name, use, name) for name in ("two", "three")))
        if context["attempt"] == 1:
            raise ValueError("the first attempt always fails")
        used.append(await context.step("four", self.use_now, f"{where}/four"))
        used.append(await context.step("five", use, "five"))
        assert used == ["one", "two", "three", "four", "five"], used
        return {"n": payload["n"]}

    def use_now(self, where: str) -> str:
        self.effect(where)
        return where.rpartition("/")[2]

    async def asker(self, payload: Any) -> Any:
        return await self.helper.ask(payload)

    async def main(self) -> None:
        options = self.options
        self.helper = Agent("helper", handler=self.tools)
        engine = OrchestrationEngine(
            EngineConfig(
                state_store=options["url"],
                persist_state=True,
                recover_on_start=True,
                recover_every_seconds=0.05,
                lease_seconds=options["lease_seconds"],
                poll_seconds=0.05,
                wall_clock=self.date,
                max_recoveries=None,  # many a life ends before anything has got on
            )
        )
        engine.register_agent("work", self.work)
        engine.register_agent("count", self.count)
        engine.register_agent("flaky", self.flaky)
        engine.register_agent("tools", self.tools)
        engine.register_agent("asker", self.asker)
        async with engine:
            room = asyncio.Semaphore(AT_ONCE)
            known = await engine.list_workflows(persisted=True, limit=10_000)
            finished = {w.workflow_id for w in known if w.state == "completed"}

            async def one(n: int) -> None:
                run_id = f"r{n}"
                if run_id in finished:
                    return
                async with room:
                    try:
                        await engine.start_workflow(
                            workflow=FLOWS[options.get("flow", "crashing")](),
                            input_data={"n": n},
                            workflow_id=run_id,
                        )
                    except WorkflowExists:
                        pass
                    result = await engine.wait(run_id)
                    assert result["last"]["n"][0] == n

            await asyncio.gather(*(one(n) for n in range(options["runs"])))

    def live(self) -> int:
        """Live to the end, and return the process's exit code."""
        try:
            asyncio.run(self.main())
        except WorkflowFailed as error:
            print(f"life {self.number}: {error}", file=sys.stderr)
            return 3
        return 0


def beget(options: dict[str, Any], number: int) -> int:
    """Fork a life and return its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 4
    try:
        random.seed(options["seed"] * 1000 + number)
        code = Life(options, number).live()
    except BaseException as error:
        print(f"life {number}: {error!r}", file=sys.stderr)
    finally:
        os._exit(code)


def main() -> None:
    options = json.loads(sys.argv[1])
    rng = random.Random(options["seed"])
    killed = ended = 0
    number = 0
    living: dict[int, int] = {}
    deadline = time.monotonic() + options["seconds"]
    # Some lives are ended while they begin, most in the middle of their work.
    while killed < options["kills"] and time.monotonic() < deadline:
        while len(living) < options["engines"]:
            number += 1
            living[beget(options, number)] = number
        time.sleep(rng.random() * options["longest_s"])
        pid = rng.choice(list(living))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        life = living.pop(pid)
        if os.WIFSIGNALED(status):
            killed += 1
        else:
            ended += 1
            if os.WEXITSTATUS(status):
                print(json.dumps({"error": f"life {life} ended with {status}"}))
                return
            # Whoever dies is to die at work, so there is always more of it.
            options["runs"] += options["more_runs"]
    for pid in living:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        killed += 1
    number += 1
    begun = time.monotonic()
    pid = beget(options, number)
    _, status = os.waitpid(pid, 0)
    print(
        json.dumps(
            {
                "lives": number,
                "runs": options["runs"],
                "killed": killed,
                "ended": ended,
                "last": os.waitstatus_to_exitcode(status),
                "last_s": time.monotonic() - begun,
            }
        )
    )


if __name__ == "__main__":
    main()
