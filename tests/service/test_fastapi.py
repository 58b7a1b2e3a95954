"""A FastAPI program whose middleware says who the user is: a thousand of them, all at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from agenticaiframework.actors import ActorSystem, Agent
from agenticaiframework.patterns import (
    AgentRole,
    AgentTeam,
    MapReduceOrchestration,
    ParallelOrchestration,
    SequentialOrchestration,
    send_chunk,
)
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine

from .conftest import Witness, user

USERS = 1_000
AT_ONCE = 50


class Program:
    """An application with an agent on the loop, one in threads, patterns, a team and workflows."""

    def __init__(self, witness: Witness, *, own_system: bool) -> None:
        # FastAPI keeps what routes refer to as long as the process lives, so no other test has these names.
        self.orders = Agent("served orders", handler=witness.handle)
        self.prices = Agent("served prices", handler=witness.handle_plain)
        self.desk = Agent("served desk", handler=self._ask_both)
        self.engine = OrchestrationEngine(EngineConfig())
        self.pattern = ParallelOrchestration(
            name="both",
            branches=[
                SequentialOrchestration(name="one", steps=[self.orders, witness.handle]),
                MapReduceOrchestration(name="many", mapper=self.orders, reducer=self.desk),
            ],
        )
        self.workflow = {
            "name": "order",
            "steps": [
                {"id": "first", "agent": self.desk},
                {"id": "approved", "wait_for": "approved"},
                {"id": "plain", "agent": witness.handle_plain},
                {"id": "last", "agent": self.orders},
            ],
        }
        self.team = AgentTeam("shop", roles=[AgentRole(name="clerk"), AgentRole(name="boss")])
        self.team.assign_agent(self.orders, "clerk")
        self.team.assign_agent(self.desk, "boss")
        self._own_system = own_system
        self.app = FastAPI(lifespan=self._lifespan)
        self.app.middleware("http")(self._set_user)
        for path, answer in (
            ("/agent", self._agent),
            ("/pattern", self._pattern),
            ("/workflow", self._workflow),
            ("/team", self._team),
        ):
            self.app.add_api_route(path, answer)
        self.app.add_api_route("/stream", self._stream, response_class=StreamingResponse)

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        user.set("the operator")
        if self._own_system:
            async with ActorSystem("service"):
                await self.orders.ask("warm up", context={"user": "the operator"})
                yield
        else:
            await self.orders.ask("warm up", context={"user": "the operator"})
            yield
        await self.engine.stop()

    async def _set_user(
        self, request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        user.set(request.headers["x-user"])
        return await call_next(request)

    async def _ask_both(self, payload: Any) -> Any:
        return [await self.orders.ask(payload), await self.prices.ask(payload)]

    # -- what is served ------------------------------------------------------------------------

    async def _agent(self, name: str) -> Any:
        self.orders.tell("beside", context={"user": name})
        return await self.desk.ask("x", context={"user": name})

    async def _pattern(self, name: str) -> Any:
        return str(await self.pattern.execute([1, 2], context={"user": name}))

    async def _workflow(self, name: str) -> Any:
        run_id = await self.engine.start_workflow(self.workflow, "x", context={"user": name})
        await self.engine.signal_workflow(run_id, "approved", name)
        return dict(await self.engine.wait(run_id))

    async def _team(self, name: str) -> Any:
        return str(dict(await self.team.execute_task("x", context={"user": name})))

    async def _stream(self, name: str) -> StreamingResponse:
        async def say(payload: Any) -> str:
            for _ in range(3):
                send_chunk(user.get())
                await asyncio.sleep(0)
            return user.get()

        events = SequentialOrchestration(name="s", steps=[say, self.orders]).stream(
            "x", context={"user": name}
        )

        async def body() -> AsyncIterator[str]:
            async for event in events:
                if hasattr(event, "data"):
                    yield f"{event.data}\n"

        return StreamingResponse(body())


@pytest.mark.parametrize("own_system", [True, False], ids=["a system", "the default system"])
def test_a_thousand_interleaved_users_never_see_one_another(
    witness: Witness, own_system: bool
) -> None:
    program = Program(witness, own_system=own_system)
    chance = random.Random(7)
    wrong: list[tuple[str, str]] = []

    async def visit(client: httpx.AsyncClient, name: str, room: asyncio.Semaphore) -> None:
        async with room:
            for path in chance.sample(["/agent", "/pattern", "/workflow", "/team", "/stream"], 2):
                answer = await client.get(path, params={"name": name}, headers={"x-user": name})
                assert answer.status_code == 200, answer.text
                others = answer.text.replace(name, "")
                if name not in answer.text or "[" + "user" in others or "handler" in others:
                    wrong.append((name, answer.text))

    async def main() -> None:
        room = asyncio.Semaphore(AT_ONCE)
        transport = httpx.ASGITransport(program.app)
        async with (
            program.app.router.lifespan_context(program.app),
            httpx.AsyncClient(transport=transport, base_url="http://service") as client,
        ):
            await asyncio.gather(*(visit(client, f"[user {n}]", room) for n in range(USERS)))

    asyncio.run(main())
    assert wrong == []
    assert witness.wrong() == []
    assert len(witness.users) == USERS + 1


def test_what_a_request_set_is_not_there_for_the_next_one(witness: Witness) -> None:
    """Also where the second request has set nothing at all."""
    app = FastAPI()
    agent = Agent("served agent", handler=witness.handle)

    @app.get("/")
    async def answer(name: str = "") -> str:
        if name:
            user.set(name)
        found: str = await agent.ask("x")
        return found

    async def main() -> list[str]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            paths = ["/?name=alice", "/", "/?name=bob", "/"]
            # Each in a task of its own, as a server has them.
            return [(await asyncio.create_task(client.get(path))).json() for path in paths]

    assert asyncio.run(main()) == ["alice", "nobody", "bob", "nobody"]
