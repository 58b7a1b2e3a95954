"""Tools of model agents: functions and agents, their time limits, errors and keys."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic import BaseModel
from pydantic_ai import ModelRetry, RunContext, Tool
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import BinaryContent, ModelResponse, TextPart, ToolReturn
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.toolsets import FunctionToolset

from agenticaiframework.actors import (
    ActorSystem,
    Agent,
    AgentFailed,
    ApprovalNeeded,
    RequestRejected,
    agent_context,
    causes_of,
    send_chunk,
)
from agenticaiframework.actors.function_exits import is_of_call
from agenticaiframework.models.tools import ToolCallFailed, ToolTimeout, tool
from agenticaiframework.orchestration import (
    AgentRole,
    AgentSupervisor,
    AgentTeam,
    SequentialOrchestration,
)

sys.path.insert(0, str(Path(__file__).parent))
from speaking import simulated
from tool_models import Call, CallingModel, calling, on_loop


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The log is no part of these tests."""
    from loguru import logger

    logger.disable("agenticaiframework")
    yield
    logger.enable("agenticaiframework")


class Order(BaseModel):
    id: str


@dataclass
class Line:
    what: str


class Topic(BaseModel):
    """What to look at."""

    name: str
    depth: int = 1


def results(answer: str) -> dict[str, Any]:
    """Return what the tools said, by name; the content of an error after its outcome."""
    return {
        name: content if outcome == "success" else f"{outcome}: {content}"
        for name, outcome, content in json.loads(answer)
    }


async def used(tools: list[Any], *calls: Call, **options: Any) -> dict[str, Any]:
    """Return what *calls* of *tools* told the model."""
    agent = Agent("user", model=calling(*calls), tools=tools, **options)
    return results(await agent.ask("go"))


def add(a: int, b: int = 2) -> int:
    """Add two numbers.

    Args:
        a: the first one
    """
    return a + b


async def double(a: int) -> int:
    """Double a number."""
    return 2 * a


@on_loop
async def test_functions_of_all_kinds_are_called_with_the_models_arguments() -> None:
    class Shop:
        """Sells."""

        def price(self, of: str) -> str:
            """Tell a price."""
            return f"{of} costs 3"

        def __call__(self, what: str) -> str:
            """Buy something."""
            return f"bought {what}"

    async with ActorSystem():
        said = await used(
            [
                add,
                double,
                Shop().price,
                tool(Shop(), name="buy"),
                tool(partial(add, b=5), name="add5"),
            ],
            ("add", {"a": 1}),
            ("double", {"a": 4}),
            ("price", {"of": "tea"}),
            ("buy", {"what": "tea"}),
            ("add5", {"a": 1}),
        )
    assert said == {
        "add": 3,
        "double": 8,
        "price": "tea costs 3",
        "buy": "bought tea",
        "add5": 6,
    }


@on_loop
async def test_the_model_sees_name_description_types_and_what_is_said_of_parameters() -> None:
    calls = CallingModel(())
    agent = Agent("user", model=calls.model, tools=[tool(add, description="Sum up"), double])
    async with ActorSystem():
        await agent.ask("go")
    seen = calls.offered["add"]
    assert seen.description == "Sum up"
    assert seen.parameters_json_schema["properties"]["a"] == {
        "description": "the first one",
        "type": "integer",
    }
    assert seen.parameters_json_schema["required"] == ["a"]
    assert calls.offered["double"].description == "Double a number."


@on_loop
async def test_a_tool_may_take_the_run_context_and_its_deps() -> None:
    def who(ctx: RunContext[str], polite: bool) -> str:
        """Tell who asks."""
        return f"{'dear ' if polite else ''}{ctx.deps}"

    async with ActorSystem():
        said = await used([who], ("who", {"polite": True}), deps="Ann")
    assert said == {"who": "dear Ann"}


@on_loop
async def test_plain_functions_run_in_the_threads_of_the_system_and_async_ones_on_its_loop() -> (
    None
):
    def here() -> str:
        """Where."""
        return threading.current_thread().name

    async def there() -> str:
        """Where."""
        return threading.current_thread().name

    async with ActorSystem("shop"):
        given = FunctionToolset([Tool(here, name="given")])
        said = await used([here, there, given], ("here", {}), ("there", {}), ("given", {}))
    assert said["here"].startswith("shop-")
    assert said["given"].startswith("shop-")
    assert said["there"] == threading.current_thread().name


@on_loop
async def test_calls_of_one_response_overlap() -> None:
    meet = threading.Barrier(3, timeout=60)

    def plain(n: int) -> int:
        """Wait for the others."""
        return meet.wait() * 0 + n

    async with ActorSystem():
        agent = Agent(
            "user", model=calling(*(("plain", {"n": n}) for n in range(3))), tools=[plain]
        )
        said = json.loads(await agent.ask("go"))
    assert [content for _, _, content in said] == [0, 1, 2]


@on_loop
async def test_arguments_that_do_not_fit_go_back_to_the_model() -> None:
    calls = CallingModel([("add", {"a": "many"})], [("add", {"a": 5})])
    async with ActorSystem():
        said = json.loads(await Agent("user", model=calls.model, tools=[add]).ask("go"))
    assert said[-1] == ["add", "success", 7]
    assert len(said) == 2


# -- errors --------------------------------------------------------------------------------------


@on_loop
async def test_an_error_of_a_tool_is_told_to_the_model_without_logins() -> None:
    def charge(order: str) -> str:
        """Charge an order."""
        raise ValueError(f"no order {order}, password=hunter22")

    async with ActorSystem():
        said = await used([charge], ("charge", {"order": "o-1"}))
    assert said == {"charge": "failed: ValueError: no order o-1, password=***"}


@on_loop
async def test_an_error_of_a_tool_fails_the_request_where_that_is_declared() -> None:
    def charge(order: str) -> str:
        """Charge an order."""
        raise ValueError("no such order")

    async with ActorSystem():
        agent = Agent(
            "user",
            model=calling(("charge", {"order": "o-1"})),
            tools=[tool(charge, on_error="fail")],
        )
        with pytest.raises(AgentFailed) as failed:
            await agent.ask("go")
        assert failed.value.expected, "the agent is well"
        assert agent.is_alive
    error = failed.value.__cause__
    assert isinstance(error, ToolCallFailed)
    assert error.tool == "charge"
    assert isinstance(error.__cause__, ValueError)


@on_loop
async def test_the_log_shows_a_tools_error_from_the_tool_on() -> None:
    def charge(order: str) -> str:
        """Charge an order."""
        return str({}[order])

    from loguru import logger

    logger.enable("agenticaiframework")
    said: list[str] = []
    sink = logger.add(lambda line: said.append(str(line)), level="WARNING")
    try:
        async with ActorSystem():
            await Agent("user", model=calling(("charge", {"order": "o-1"})), tools=[charge]).ask(
                "go"
            )
    finally:
        logger.remove(sink)
    (line,) = said
    assert "The tool charge failed, and its model is told: KeyError: 'o-1'" in line
    assert line.count("  File ") == 1
    assert "str({}[order])" in line


@on_loop
async def test_sys_exit_in_a_tool_is_an_error_of_that_tool() -> None:
    def leave() -> str:
        """Leave."""
        raise SystemExit(3)

    async def go() -> str:
        """Go."""
        raise SystemExit(3)

    async with ActorSystem():
        said = await used([leave, go], ("leave", {}), ("go", {}))
    assert said["leave"].startswith("failed: ")
    assert said["go"].startswith("failed: ")


class Own(BaseException):
    """What no handler of errors expects."""


NO_EXCEPTIONS = [GeneratorExit, KeyboardInterrupt, Own, StopIteration]


@pytest.mark.parametrize("kind", NO_EXCEPTIONS)
@on_loop
async def test_what_is_not_an_exception_is_an_error_of_that_tool(kind: Any) -> None:
    def plain() -> str:
        """Plain."""
        raise kind

    async def awaited() -> str:
        """Awaited."""
        raise kind

    async def more() -> str:
        """More."""
        raise kind

    def more_plain() -> str:
        """More, plain."""
        raise kind

    tools = [plain, awaited, add, FunctionToolset([more, more_plain])]
    names = ("plain", "awaited", "more", "more_plain")
    async with ActorSystem():
        said = await used(tools, ("add", {"a": 1}), *((name, {}) for name in names))
    assert said["add"] == 3
    for name in names:
        assert said[name].startswith("failed: ")
        assert kind.__name__ in said[name]


@on_loop
async def test_an_interrupt_from_the_keyboard_is_not_taken_for_an_error_of_a_tool() -> None:
    def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)

    def raised() -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for function, own in ((interrupted, False), (raised, True)):
            with pytest.raises(KeyboardInterrupt) as caught:
                function()
            assert is_of_call(caught.value) is own
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("kind", [SystemExit, *NO_EXCEPTIONS])
@on_loop
async def test_what_decides_about_a_call_takes_nobody_along(kind: Any) -> None:
    async def decides(call: Any) -> bool:
        raise kind

    def decides_plainly(call: Any) -> bool:
        raise kind

    async with ActorSystem():
        for approve in (decides, decides_plainly):
            agent = Agent(
                "a",
                model=calling(("add", {"a": 1})),
                tools=[tool(add, requires_approval=True)],
                approve=approve,
            )
            with pytest.raises(AgentFailed, match=kind.__name__):
                await asyncio.wait_for(agent.ask("go"), 60)


@on_loop
async def test_instructions_that_raise_stop_iteration_end_the_request() -> None:
    def instructions() -> str:
        return next(iter(()))

    async with ActorSystem():
        agent = Agent("a", model=calling(), instructions=instructions)
        with pytest.raises(AgentFailed, match="StopIteration"):
            await asyncio.wait_for(agent.ask("go"), 60)


@on_loop
async def test_a_cancellation_that_a_tool_makes_itself_is_an_error_of_that_tool() -> None:
    async def give_up() -> str:
        """Give up."""
        raise asyncio.CancelledError

    def give_in() -> str:
        """Give in."""
        raise asyncio.CancelledError

    async with ActorSystem():
        said = await used(
            [give_up, give_in, add], ("give_up", {}), ("give_in", {}), ("add", {"a": 1})
        )
    assert said["give_up"].startswith("failed: ")
    assert said["give_in"].startswith("failed: ")
    assert said["add"] == 3


@on_loop
async def test_what_can_be_read_only_once_is_told_as_a_list() -> None:
    def squares(up_to: int) -> Any:
        """Square."""
        return (n * n for n in range(up_to))

    async with ActorSystem():
        assert await used([squares], ("squares", {"up_to": 3})) == {"squares": [0, 1, 4]}


@on_loop
async def test_what_a_tool_says_to_pydantic_ai_passes() -> None:
    async def guess(n: int) -> str:
        """Guess."""
        if n < 5:
            raise ModelRetry("higher")
        return "right"

    calls = CallingModel([("guess", {"n": 1})], [("guess", {"n": 9})])
    async with ActorSystem():
        said = json.loads(await Agent("user", model=calls.model, tools=[guess]).ask("go"))
        assert said[-1] == ["guess", "success", "right"]
        low = CallingModel([("guess", {"n": 1})], [("guess", {"n": 1})])
        agent = Agent("user", model=low.model, tools=[tool(guess, retries=0)])
        with pytest.raises(AgentFailed) as failed:
            await agent.ask("go")
    assert isinstance(failed.value.__cause__, UnexpectedModelBehavior)


@on_loop
async def test_a_result_without_a_form_in_json_is_an_error_and_never_a_repr() -> None:
    def thing() -> object:
        """Find a thing."""
        return object()

    async with ActorSystem():
        said = await used([thing], ("thing", {}))
    assert "no form in JSON" in said["thing"]
    assert "object at 0x" not in said["thing"]


@on_loop
async def test_models_dataclasses_and_content_are_told_as_what_they_are() -> None:
    def order() -> Order:
        """Find."""
        return Order(id="o-1")

    def lines() -> list[Line]:
        """Find."""
        return [Line("tea")]

    def image() -> BinaryContent:
        """Draw."""
        return BinaryContent(b"\x89PNG\xff", media_type="image/png")

    def rich() -> ToolReturn[Any]:
        """Tell."""
        return ToolReturn(return_value={"n": 1}, metadata={"kept": object()})

    async with ActorSystem():
        said = await used([order, lines, rich, image], ("order", {}), ("lines", {}), ("rich", {}))
        assert said == {"order": {"id": "o-1"}, "lines": [{"what": "tea"}], "rich": {"n": 1}}
        calls = CallingModel([("image", {})])
        await Agent("user", model=calls.model, tools=[image]).ask("go")
    (part,) = calls.messages[-1].parts
    assert part.content == BinaryContent(b"\x89PNG\xff", media_type="image/png")


# -- time limits ---------------------------------------------------------------------------------


@simulated
async def test_a_tool_that_takes_too_long_is_cancelled_and_told() -> None:
    ended: list[str] = []

    async def hang() -> str:
        """Hang."""
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "never"

    async with ActorSystem() as system:
        said = await used([tool(hang, timeout=0.05)], ("hang", {}))
        # What ran the tool ends with it.
        while not ended or not all(ref.label.startswith("user") for ref in system.actors()):
            await asyncio.sleep(0.01)
    assert said == {"hang": "failed: The tool 'hang' took longer than its 0.05 s"}


@simulated
async def test_a_tool_that_ignores_its_cancellation_is_left_behind_and_the_request_goes_on() -> (
    None
):
    release = asyncio.Event()

    async def deaf() -> str:
        """Ignore it."""
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                pass
        return "late"

    async with ActorSystem(cancel_grace_s=0.05) as system:
        said = await used([tool(deaf, timeout=0.05)], ("deaf", {}))
        assert "took longer" in said["deaf"]
        while system.abandoned == 0:
            await asyncio.sleep(0.01)
        release.set()


@on_loop
async def test_a_plain_tool_that_blocks_does_not_hold_the_request() -> None:
    release, began = threading.Event(), threading.Event()

    def block() -> str:
        """Block."""
        began.set()
        release.wait(600)
        return "late"

    try:
        async with ActorSystem(cancel_grace_s=0.05, threads=1, max_threads=2) as system:
            limit_s = 0.05
            while not began.is_set():  # on a busy machine the limit may be over before it begins
                said = await used([tool(block, timeout=limit_s), add], ("block", {}))
                assert "took longer" in said["block"]
                limit_s *= 4
            while system.abandoned == 0:
                await asyncio.sleep(0.01)
            # Its thread is out of the pool, and another one serves.
            assert await used([add], ("add", {"a": 1})) == {"add": 3}
            release.set()
    finally:
        release.set()


@simulated
async def test_a_timeout_fails_the_request_where_that_is_declared() -> None:
    async def hang() -> str:
        """Hang."""
        await asyncio.sleep(3600)
        return "never"

    async with ActorSystem():
        agent = Agent(
            "user",
            model=calling(("hang", {})),
            tools=[tool(hang, timeout=0.05, on_error="fail")],
        )
        with pytest.raises(AgentFailed) as failed:
            await agent.ask("go")
    error = failed.value.__cause__
    assert error is not None
    assert isinstance(error.__cause__, ToolTimeout)


@simulated
async def test_the_timeout_of_a_tool_of_pydantic_ai_is_kept() -> None:
    async def hang() -> str:
        """Hang."""
        await asyncio.sleep(3600)
        return "never"

    async with ActorSystem():
        said = await used([Tool(hang, timeout=0.05)], ("hang", {}))
        assert "took longer than its 0.05 s" in said["hang"]
        toolset = FunctionToolset([hang])
        said = await used([tool(toolset, timeout=0.05)], ("hang", {}))
    assert "took longer than its 0.05 s" in said["hang"]


@on_loop
async def test_whoever_stops_waiting_stops_the_tools() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> str:
        """Hang."""
        began.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()
        return "never"

    async with ActorSystem() as system:
        agent = Agent("user", model=calling(("hang", {})), tools=[hang])
        asked = asyncio.ensure_future(agent.ask("go"))
        await began.wait()
        asked.cancel()
        await asyncio.wait_for(ended.wait(), 60)
        began.clear()
        ended.clear()
        asked = asyncio.ensure_future(agent.ask("go"))
        await began.wait()
        await agent.stop()
        await asyncio.wait_for(ended.wait(), 60)
        with pytest.raises(AgentFailed):
            await asked
        while system.actor_count:
            await asyncio.sleep(0.01)


# -- what a tool sees ----------------------------------------------------------------------------


@on_loop
async def test_each_call_has_a_key_of_its_own_and_another_attempt_the_same() -> None:
    seen: list[Any] = []

    async def charge(order: str) -> str:
        """Charge."""
        seen.append(agent_context()["idempotency_key"])
        return "charged"

    calls = [("charge", {"order": "a"}), ("charge", {"order": "b"}), ("charge", {"order": "a"})]
    async with ActorSystem():
        agent = Agent("user", model=calling(*calls), tools=[charge])
        await agent.ask("go", context={"idempotency_key": "k"})
        await agent.ask("go", context={"idempotency_key": "k"})
        await agent.ask("go")
        await agent.ask("go")
    first, second, third, fourth = seen[:3], seen[3:6], seen[6:9], seen[9:]
    assert len(set(first)) == 3
    assert all(key.startswith("k/charge") for key in first)
    assert first == second
    assert len({*third, *fourth}) == 6, "without a key around, no two requests share one"


@on_loop
async def test_a_key_is_of_the_arguments_so_that_another_order_of_calls_finds_its_own() -> None:
    seen: dict[str, Any] = {}

    async def charge(order: str) -> str:
        """Charge."""
        seen.setdefault(order, set()).add(agent_context()["idempotency_key"])
        return "charged"

    a, b = ("charge", {"order": "a"}), ("charge", {"order": "b"})
    async with ActorSystem():
        for calls in ([a, b], [b, a], [b]):
            agent = Agent("user", model=calling(*calls), tools=[charge])
            await agent.ask("go", context={"idempotency_key": "k"})
    assert [len(keys) for keys in seen.values()] == [1, 1]


@on_loop
async def test_a_tool_finds_the_session_the_context_and_context_variables_and_may_send_parts() -> (
    None
):
    variable: ContextVar[str] = ContextVar("variable")
    seen: list[Any] = []

    def look() -> str:
        """Look."""
        context = agent_context()
        seen.append((context.get("session"), context.get("tenant"), variable.get("unset")))
        send_chunk("half way")
        return "looked"

    async with ActorSystem():
        agent = Agent("user", model=calling(("look", {})), tools=[look])
        variable.set("mine")
        parts = [
            part async for part in agent.stream("go", session="s-1", context={"tenant": "acme"})
        ]
    assert seen == [("s-1", "acme", "mine")]
    assert "half way" in parts


# -- agents, patterns and teams ------------------------------------------------------------------


@on_loop
async def test_an_agent_is_asked_by_message_with_context_session_and_a_key() -> None:
    seen: list[Any] = []

    async def research(question: str) -> str:
        """Answer questions about rivers."""
        context = agent_context()
        seen.append((question, context.get("session"), context.get("tenant")))
        seen.append(context["idempotency_key"])
        return f"about {question}"

    researcher = Agent("River expert", handler=research)
    calls = CallingModel([("River_expert", {"request": "bends"})])
    async with ActorSystem():
        agent = Agent("user", model=calls.model, tools=[researcher])
        answer = await agent.ask(
            "go", session="s-1", context={"tenant": "acme", "idempotency_key": "k"}
        )
        assert researcher.is_alive
    assert results(answer) == {"River_expert": "about bends"}
    assert seen[0] == ("bends", "s-1", "acme")
    assert seen[1].startswith("k/River_expert")
    assert calls.offered["River_expert"].description == "Answer questions about rivers."


@on_loop
async def test_what_an_agent_takes_is_read_from_its_handler_or_declared() -> None:
    async def typed(topic: Topic) -> str:
        return f"{type(topic).__name__} {topic.name} {topic.depth}"

    async def untyped(payload: Any) -> str:
        return f"{type(payload).__name__} {payload.name}"

    calls = CallingModel(
        [("typed", {"name": "rivers"}), ("untyped", {"name": "hills"}), ("any", {"request": "x"})]
    )
    async with ActorSystem():
        agents = [
            Agent("typed", handler=typed),
            tool(Agent("untyped", handler=untyped), input_type=Topic),
            Agent("any", handler=lambda payload: payload),
        ]
        answer = await Agent("user", model=calls.model, tools=agents).ask("go")
    assert results(answer) == {"typed": "Topic rivers 1", "untyped": "Topic hills", "any": "x"}
    assert set(calls.offered["typed"].parameters_json_schema["properties"]) == {"name", "depth"}


@on_loop
async def test_a_model_agent_is_a_tool_of_another() -> None:
    async with ActorSystem():
        inner = Agent("inner", model=calling(("add", {"a": 1})), tools=[add], instructions="Add.")
        calls = CallingModel([("inner", {"request": "add"})])
        answer = await Agent("outer", model=calls.model, tools=[inner]).ask("go")
    assert results(answer)["inner"] == '[["add", "success", 3]]'
    assert "Add." in calls.offered["inner"].description


@on_loop
async def test_a_crash_of_an_agent_used_as_a_tool_restarts_it_and_tells_the_model() -> None:
    crashes: list[int] = []

    async def fragile(payload: str) -> str:
        """Break once."""
        crashes.append(1)
        if len(crashes) == 1:
            raise RuntimeError("broken")
        return "whole again"

    worker = Agent("fragile", handler=fragile)
    calls = CallingModel([("fragile", {"request": "x"})], [("fragile", {"request": "x"})])
    async with ActorSystem(), AgentSupervisor("root") as supervisor:
        supervisor.add_child("worker", worker)
        user = Agent("user", model=calls.model, tools=[worker])
        said = json.loads(await user.ask("go"))
        assert supervisor.children["worker"].restarts == 1
    assert said[0][:2] == ["fragile", "failed"]
    assert "broken" in said[0][2]
    assert said[1] == ["fragile", "success", "whole again"]


@on_loop
async def test_a_request_that_an_agent_rejects_is_told_and_it_lives() -> None:
    async def strict(payload: str) -> str:
        """Reject."""
        raise RequestRejected("not for me")

    worker = Agent("strict", handler=strict)
    async with ActorSystem():
        said = await used([worker], ("strict", {"request": "x"}))
        assert worker.is_alive
    assert "not for me" in said["strict"]


@on_loop
async def test_the_limit_of_an_agent_as_a_tool_is_told_and_that_of_the_whole_ends_it() -> None:
    async with ActorSystem():
        inner = Agent(
            "inner",
            model=CallingModel([("add", {"a": 1})], [("add", {"a": 2})]).model,
            tools=[add],
            usage_limits={"request_limit": 1},
        )
        said = await used([inner], ("inner", {"request": "x"}))
        assert "request_limit" in said["inner"]
        free = Agent(
            "free", model=CallingModel([("add", {"a": 1})], [("add", {"a": 2})]).model, tools=[add]
        )
        with pytest.raises(AgentFailed) as failed:
            await used([free], ("free", {"request": "x"}), usage_limits={"request_limit": 2})
        assert failed.value.expected
        assert "'user'" in str(failed.value.__cause__)


@on_loop
async def test_a_question_that_only_a_person_can_answer_is_not_told_to_the_model() -> None:
    async with ActorSystem():
        with pytest.raises(AgentFailed) as failed:
            await used([tool(add, requires_approval=True)], ("add", {"a": 1}))
        assert isinstance(failed.value.__cause__, ApprovalNeeded)
        inner = Agent(
            "inner", model=calling(("add", {"a": 1})), tools=[tool(add, requires_approval=True)]
        )
        with pytest.raises(AgentFailed) as failed:
            await used([inner], ("inner", {"request": "x"}))
        assert any(isinstance(each, ApprovalNeeded) for each in causes_of(failed.value))


@simulated
async def test_a_timeout_of_an_agent_as_a_tool_cancels_its_work() -> None:
    ended = asyncio.Event()

    async def slow(payload: str) -> str:
        """Take long."""
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()
        return "never"

    worker = Agent("slow", handler=slow)
    async with ActorSystem():
        said = await used([tool(worker, timeout=0.05)], ("slow", {"request": "x"}))
        await asyncio.wait_for(ended.wait(), 60)
    assert "took longer than its 0.05 s" in said["slow"]


@on_loop
async def test_a_pattern_is_a_tool() -> None:
    async def upper(payload: Any) -> str:
        return str(payload).upper()

    async def twice(payload: Any) -> str:
        return f"{payload} {payload}"

    async with ActorSystem():
        chain = SequentialOrchestration(
            name="shout", steps=[Agent("upper", handler=upper), Agent("twice", handler=twice)]
        )
        said = await used([tool(chain, description="Shout it")], ("shout", {"request": "hey"}))
    assert said == {"shout": "HEY HEY"}


@on_loop
async def test_a_team_is_a_tool() -> None:
    async with ActorSystem():
        team = AgentTeam("desk", roles=[AgentRole(name="lead")])
        team.assign_agent(Agent("ann", handler=lambda payload: f"ann did {payload}"), "lead")
        said = await used([team], ("desk", {"request": "it"}))
    assert "ann did it" in str(said["desk"])


@on_loop
async def test_agents_that_are_tools_of_each_other_do_not_wait_for_ever() -> None:
    async with ActorSystem():
        pong = Agent("pong", handler=lambda payload: ping.request(payload))
        ping = Agent("ping", model=calling(("pong", {"request": "x"})), tools=[pong], concurrency=1)
        said = results(await asyncio.wait_for(ping.ask("go"), 60))
    assert said["pong"].startswith("failed: ")


class Later:
    """Asks what is made after it, as tools of one another have to."""

    description = "Asks on."

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: Any = None

    async def ask(self, payload: Any) -> Any:
        return await self.asked.ask(payload)


@pytest.mark.parametrize("concurrency", [1, 32])
@on_loop
async def test_a_circle_of_tools_is_seen_at_once_and_told_to_the_model(concurrency: int) -> None:
    later = Later("first_again")
    third = Agent(
        "third",
        model=calling(("first_again", {"request": "x"})),
        tools=[later],
        concurrency=concurrency,
    )
    second = Agent(
        "second", model=calling(("third", {"request": "x"})), tools=[third], concurrency=concurrency
    )
    first = later.asked = Agent(
        "first",
        model=calling(("second", {"request": "x"})),
        tools=[second],
        concurrency=concurrency,
    )
    async with ActorSystem():
        result = await asyncio.wait_for(first.run("go"), 60)
    # With one place the kernel sees it where the first is asked again, else the tool that leads on.
    assert "waits for third, which waits for " in result.output
    assert result.usage.requests <= 8


@on_loop
async def test_the_same_agent_twice_and_on_two_ways_is_not_a_circle() -> None:
    async with ActorSystem():
        clerk = Agent("clerk", model=calling())
        aide = Agent("aide", model=calling(("clerk", {"request": "x"})), tools=[clerk])
        boss = Agent(
            "boss",
            model=calling(
                ("clerk", {"request": "x"}), ("aide", {"request": "x"}), ("clerk", {"request": "y"})
            ),
            tools=[clerk, aide],
        )
        answer = await asyncio.wait_for(boss.ask("go"), 60)
    assert "waits for" not in answer


@on_loop
async def test_a_function_may_ask_its_own_agent_as_deep_as_it_decides() -> None:
    async with ActorSystem():
        depth = 0

        async def deeper() -> str:
            """Ask the same agent for a part of it."""
            nonlocal depth
            depth += 1
            return "the bottom" if depth > 2 else await boss.ask("part")

        aide = Agent("aide", model=calling(("deeper", {})), tools=[deeper])
        boss = Agent("boss", model=calling(("aide", {"request": "x"})), tools=[aide])
        answer = await asyncio.wait_for(boss.ask("go"), 60)
    assert depth == 3
    assert "the bottom" in answer


@on_loop
async def test_tools_are_listed_in_the_task_of_the_request_that_they_are_for() -> None:
    """Several toolsets are asked in tasks of their own, in each step, and the empty one is none."""
    listed: list[Any] = []
    asked: list[Any] = []

    async def prepare(ctx: RunContext[Any], definition: Any) -> Any:
        listed.append(asyncio.current_task())
        return definition

    async def model(messages: Any, info: Any) -> ModelResponse:
        asked.append(asyncio.current_task())
        return ModelResponse([TextPart("done")])

    def add(a: int) -> int:
        """Add."""
        return a

    async with ActorSystem():
        tools = [Tool(add, prepare=prepare)]
        assert await Agent("one", model=FunctionModel(model), tools=tools).ask("go") == "done"
    assert asked == listed
