"""Peer: autogen-core's SingleThreadedAgentRuntime; a message is an awaited call of the runtime, a task each."""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from autogen_core import (
    AgentId,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    message_handler,
)

from benchmarks.flows import STEP_S, STEPS, all_at_once, fanned_out, one_after_the_other
from benchmarks.measure import now, rate, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS = ("autogen-core",)


@dataclass
class Ask:
    """A question for a number."""


@dataclass
class Work:
    """How often to ask how many others."""

    rounds: int
    others: int


@dataclass
class Payload:
    """What flows through a pattern."""

    value: int


class Echo(RoutedAgent):
    """Answer one."""

    def __init__(self) -> None:
        super().__init__("echo")

    @message_handler
    async def on_ask(self, message: Ask, ctx: MessageContext) -> int:
        """Answer one."""
        return 1


class Asker(RoutedAgent):
    """Ask one agent after the other, or all at once."""

    def __init__(self) -> None:
        super().__init__("asker")

    @message_handler
    async def on_work(self, message: Work, ctx: MessageContext) -> int:
        """Ask."""
        others = [AgentId("echo", str(i)) for i in range(message.others)]
        total = 0
        for _ in range(message.rounds):
            if len(others) == 1:
                total += await self.send_message(Ask(), others[0])
            else:
                total += sum(
                    await asyncio.gather(*(self.send_message(Ask(), other) for other in others))
                )
        return total


class Step(RoutedAgent):
    """An agent of a pattern: add one, at once or after ten milliseconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("step")
        self.wait_s = wait_s

    @message_handler
    async def on_payload(self, message: Payload, ctx: MessageContext) -> Payload:
        """Add one."""
        if self.wait_s:
            await asyncio.sleep(self.wait_s)
        return Payload(message.value + 1)


async def _runtime(wait_s: float = 0.0) -> SingleThreadedAgentRuntime:
    runtime = SingleThreadedAgentRuntime()
    await Echo.register(runtime, "echo", Echo)
    await Asker.register(runtime, "asker", Asker)
    await Step.register(runtime, "step", lambda: Step(wait_s))
    runtime.start()
    return runtime


def _asks(others: int, rounds: int) -> Outcome:
    async def main() -> float:
        runtime = await _runtime()
        asker = AgentId("asker", "0")
        await runtime.send_message(Work(1, others), asker)
        settle()
        started = now()
        total = await runtime.send_message(Work(rounds, others), asker)
        seconds = now() - started
        check("answers", others * rounds, total)
        return seconds

    return rate(others * rounds, asyncio.run(main()))


def ping_pong(job: Job) -> Outcome:
    """One agent asks another."""
    return _asks(1, job.operations)


def fork_join(job: Job) -> Outcome:
    """Rounds of one ask to each worker, gathered."""
    return _asks(job.actors, job.operations // job.actors)


async def _sequence(runtime: SingleThreadedAgentRuntime) -> int:
    payload = Payload(0)
    for step in range(STEPS):
        payload = await runtime.send_message(payload, AgentId("step", str(step)))
    return payload.value


async def _fan(runtime: SingleThreadedAgentRuntime, branches: int) -> int:
    answers = await asyncio.gather(
        *(runtime.send_message(Payload(0), AgentId("step", str(i))) for i in range(branches))
    )
    return sum(answer.value for answer in answers)


def sequential(job: Job) -> Outcome:
    """Three agents, one after the other."""

    async def main() -> Outcome:
        runtime = await _runtime()
        return await one_after_the_other(job, lambda: _sequence(runtime))

    return asyncio.run(main())


def fan_out(job: Job) -> Outcome:
    """Many agents at once."""

    async def main() -> Outcome:
        runtime = await _runtime()
        return await fanned_out(job, lambda: _fan(runtime, job.actors))

    return asyncio.run(main())


def thousand(job: Job) -> Outcome:
    """Many sequences at once, ten milliseconds a step."""

    async def main() -> Outcome:
        runtime = await _runtime(STEP_S)
        return await all_at_once(job, lambda: _sequence(runtime))

    return asyncio.run(main())


WORKLOADS = {
    "fan-out": fan_out,
    "fork-join-async": fork_join,
    "ping-pong": ping_pong,
    "sequential": sequential,
    "thousand": thousand,
}
