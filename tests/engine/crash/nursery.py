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

from agenticaiframework.actors import agent_context
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
                        {"id": "in2", "agent": "work", "input": "$in1"},
                    ],
                },
                "input": {"n": "$first.n"},
            },
            {"id": "last", "agent": "work", "input": {"n": ["$first.n", "$each", "$loop.n"]}},
        ],
    }


class Life:
    """One process: an engine, agents with side effects, and runs to be finished."""

    def __init__(self, options: dict[str, Any], number: int) -> None:
        self.options = options
        self.number = number
        self.log = os.open(options["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def effect(self, kind: str) -> dict[str, Any]:
        """Do what the world sees: one line, which no SIGKILL takes back."""
        context = agent_context()
        entry = {
            "kind": kind,
            "key": context["idempotency_key"],
            "run": context["workflow_id"],
            "step": context["step"],
            "attempt": context["attempt"],
            "life": self.number,
            "at": time.time(),
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

    async def main(self) -> None:
        options = self.options
        engine = OrchestrationEngine(
            EngineConfig(
                state_store=options["url"],
                persist_state=True,
                recover_on_start=True,
                recover_every_seconds=0.05,
                lease_seconds=options["lease_seconds"],
                poll_seconds=0.05,
            )
        )
        engine.register_agent("work", self.work)
        engine.register_agent("count", self.count)
        engine.register_agent("flaky", self.flaky)
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
                            workflow=flow(), input_data={"n": n}, workflow_id=run_id
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
