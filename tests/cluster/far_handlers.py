"""Handlers of agents on other nodes that do more than answer: parts, inner steps, models, questions."""

from __future__ import annotations

import asyncio
from typing import Any

from far_actors import STATE

from agenticaiframework import agent_context, send_chunk
from agenticaiframework.actors import ActorSystem, Stop, Usage, current_meter
from agenticaiframework.orchestration import Emit, team_state


def noted(key: str, what: Any) -> None:
    """Note *what* where the test finds it."""
    STATE.setdefault(key, []).append(what)


async def counts(payload: Any) -> Any:
    """Yield the numbers below *payload*, and note how far it has come."""
    try:
        for number in range(payload):
            noted("counted", number)
            yield str(number)
            await asyncio.sleep(0)
    except (GeneratorExit, asyncio.CancelledError):
        noted("counts", "cancelled")
        raise


async def counts_slowly(payload: Any) -> Any:
    """Yield a number each second."""
    try:
        for number in range(payload):
            yield str(number)
            await asyncio.sleep(1)
    except (GeneratorExit, asyncio.CancelledError):
        noted("counts_slowly", "cancelled")
        raise


async def sends(payload: Any) -> str:
    """Send chunks, one that cannot travel if told so."""
    told = send_chunk({"n": 1}), send_chunk(lambda: None if payload == "lambda" else 2)
    return f"sent {told}"


async def steps(payload: Any) -> Any:
    """Make three inner steps, the last of which takes a while."""
    context = agent_context()
    one = await context.step("first", step_of, "first", payload)
    two = await context.step("first", step_of, "first#2", payload)
    three = await context.step("last", slow_step_of, "last", payload)
    return [one, two, three, ActorSystem.current().name]


def step_of(name: str, payload: Any) -> Any:
    """Note that a step was made, under its key; a plain function, so in a thread."""
    noted("steps", (name, agent_context().get("idempotency_key")))
    return {"step": name, "payload": payload}


async def slow_step_of(name: str, payload: Any) -> Any:
    """Do the same, and take two seconds."""
    noted("steps", (name, agent_context().get("idempotency_key")))
    await asyncio.sleep(2)
    return {"step": name, "payload": payload}


async def steps_beneath(payload: Any) -> Any:
    """Ask an agent of its own node, which makes inner steps of its own."""
    from agenticaiframework import Agent

    inner = Agent("inner", handler=steps)
    return {"inner": await inner.ask(payload)}


async def failing_step(payload: Any) -> Any:
    """Make a step that raises the first time."""
    context = agent_context()
    await context.step("well", step_of, "well", payload)
    return await context.step("sometimes", fails_once, payload)


def fails_once(payload: Any) -> Any:
    """Raise the first time."""
    noted("fails_once", payload)
    if len(STATE["fails_once"]) == 1:
        raise ValueError("once")
    return "well"


async def bad_step(payload: Any) -> Any:
    """Return what cannot be stored, or travel, from a step."""
    return await agent_context().step("bad", lambda: payload == "lambda" and (lambda: None))


async def asks_a_person(payload: Any) -> Any:
    """Make a step, ask a question, and make another step."""
    context = agent_context()
    await context.step("before", step_of, "before", payload)
    said = await context.question("approve", {"sum": payload})
    await context.step("after", step_of, "after", payload)
    return {"said": said}


async def sees(payload: Any) -> Any:
    """Return what it finds in its context."""
    return {key: value for key, value in agent_context().items() if isinstance(value, (str, int))}


async def spends(payload: Any) -> Any:
    """Spend on something itself."""
    meter = current_meter()
    if meter is None:
        return None
    meter.spend(Usage(requests=1, input_tokens=payload))
    return "spent"


async def waits(payload: Any) -> Any:
    """Wait for ever, and note its cancellation."""
    try:
        await asyncio.sleep(1e9)
    except asyncio.CancelledError:
        noted(payload, "cancelled")
        raise


async def raises(payload: Any) -> Any:
    """Raise *payload*."""
    raise payload


def no_secrets(value: Any) -> Any:
    """Stop what is secret."""
    return Stop("a secret") if value == "secret" else None


async def slow_tool(n: int) -> str:
    """Take two seconds."""
    noted("slow_tool", n)
    await asyncio.sleep(2)
    return f"slow {n}"


def pays(sum: int) -> str:
    """Pay."""
    noted("pays", sum)
    return "paid"


def steps_in_a_thread(payload: Any) -> Any:
    """Make inner steps, and ask a person, and block for each."""
    context = agent_context()
    one = context.step_sync("one", step_of, "one", payload)
    said = context.question_sync("approve", payload)
    try:
        context.step_sync("bad", fails_once, payload)
    except ValueError as error:
        noted("steps", str(error))
    return [one["step"], said, context.step_sync("bad", fails_once, payload)]


async def emits(payload: Any) -> Any:
    """Cause an event."""
    return Emit("found", {"facts": payload})


async def hears(payload: Any) -> Any:
    """Answer with *payload*."""
    return payload


async def goes_another_way(payload: Any) -> Any:
    """Make two steps and fail; the next time, make another in the place of the second."""
    context = agent_context()
    await context.step("zero", step_of, "zero", payload)
    if context["attempt"] == 1:
        await context.step("one", step_of, "one", payload)
        raise ConnectionError("try again")
    return await context.step("other", step_of, "other", payload)


async def steps_at_once(payload: Any) -> Any:
    """Make a step, and others from tasks of its own, whose order may differ; fail the first time."""
    context = agent_context()
    await context.step("w", step_of, "w", payload)
    names = ["x", "y", "z"] if context["attempt"] == 1 else ["z", "y", "x"]

    async def make(name: str) -> Any:
        return await context.step(name, step_of, name, payload)

    found = await asyncio.gather(*(make(name) for name in names))
    if context["attempt"] == 1:
        raise ConnectionError("try again")
    return [one["step"] for one in found]


def counts_a_visit() -> str:
    """Count a visit in the team's state."""
    state = team_state()
    state["visits"] = state.get("visits", 0) + 1
    return "counted"
