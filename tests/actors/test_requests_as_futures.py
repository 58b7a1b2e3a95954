"""A request is a future to asyncio: what gathers, bounds or shields futures takes it as it is."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agenticaiframework.actors import Actor, ActorDied, ActorRef, ActorSystem, Request, gather

Run = Callable[[Callable[[ActorSystem], Coroutine[Any, Any, Any]]], Any]


class Echo(Actor):
    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        return message


class Held(Actor):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    def on_receive(self, message: Any) -> None:
        if message == "answer":
            for number, request in enumerate(self.asked):
                request.reply(number)
        else:
            self.asked.append(self.defer_reply())


async def asked(system: ActorSystem) -> tuple[ActorRef[Any], Request]:
    held = system.start(Held)
    request = held.request("please")
    await asyncio.sleep(0)
    return held, request


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks and futures that the event loop makes during the test."""
    made: list[str] = []

    def count(name: str) -> None:
        original = getattr(asyncio.BaseEventLoop, name)

        def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
            made.append(name)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(asyncio.BaseEventLoop, name, counting)

    count("create_task")
    count("create_future")
    return made


def test_asyncio_takes_a_request_for_a_future(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        request = system.start(Echo).request(1)
        assert asyncio.isfuture(request)
        assert asyncio.ensure_future(request) is request
        assert request.get_loop() is asyncio.get_running_loop()
        assert await request == 1

    in_system(main)


def test_a_task_that_asks_makes_no_task_and_no_future(made: list[str]) -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            echo = system.start(Echo)
            await echo.request(0)
            made.clear()
            assert [await echo.request(n) for n in range(5)] == [0, 1, 2, 3, 4]
            assert made == []

    asyncio.run(main())


def test_gathering_a_hundred_requests_makes_one_future(made: list[str]) -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            echo = system.start(Echo)
            made.clear()
            answers = await asyncio.gather(*(echo.request(n) for n in range(100)))
            assert answers == list(range(100))
            assert "create_task" not in made
            assert len(made) <= 1

    asyncio.run(main())


def test_gather_raises_the_error_or_returns_it(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        def both() -> tuple[Request, Request]:
            one, other = system.start(Echo), system.start(Echo)
            return one.request(1), other.request(ValueError("no"))

        with pytest.raises(ValueError, match="no"):
            await asyncio.gather(*both())
        answer, error = await asyncio.gather(*both(), return_exceptions=True)
        assert answer == 1
        assert isinstance(error, ValueError)

    in_system(main)


def test_gather_and_shield_take_requests_that_were_cancelled(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        for done in (False, True):
            _held, request = await asked(system)
            if done:
                request.cancel("enough")
            gathered = asyncio.gather(request, return_exceptions=True)
            raising = asyncio.gather(request)
            shielded = asyncio.ensure_future(asyncio.shield(request))
            request.cancel("enough")
            async with asyncio.timeout(120):
                (error,) = await gathered
                assert isinstance(error, asyncio.CancelledError)
                assert error.args == ("enough",)
                for waiting in (raising, shielded):
                    with pytest.raises(asyncio.CancelledError):
                        await waiting

    in_system(main)


def test_requests_to_a_system_that_has_ended_are_futures_still() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            here = system.start(Echo)
            requests = [here.request(1), here.request(ValueError("no"))]
            await asyncio.gather(*requests, return_exceptions=True)
            requests.append(system.start(Held).request("never answered"))
        background = ActorSystem.in_background()
        with background:
            requests.append(background.start(Echo).request(2))
            assert await requests[-1] == 2
        called: list[Any] = []
        async with asyncio.timeout(120):
            for request in requests:
                request.add_done_callback(called.append)
                (shielded,) = await asyncio.gather(asyncio.shield(request), return_exceptions=True)
                (gathered,) = await asyncio.gather(request, return_exceptions=True)
                assert type(shielded) is type(gathered)
            while len(called) < len(requests):
                await asyncio.sleep(0)

    asyncio.run(main())


def test_wait_for_and_shield_take_requests(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        held, request = await asked(system)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(request), 0.01)
        assert not request.done()
        held.tell("answer")
        assert await request == 0
        held, request = await asked(system)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(request, 0.01)
        assert request.cancelled()
        assert not request.asker_waiting

    in_system(main)


def test_a_cancelled_task_abandons_its_request(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        _, request = await asked(system)

        async def wait() -> Any:
            return await request

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert request.cancelled()

    in_system(main)


def test_every_task_that_waits_for_a_request_gets_its_answer(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        held, request = await asked(system)

        async def wait() -> Any:
            return await request

        tasks = [asyncio.create_task(wait()) for _ in range(3)]
        await asyncio.sleep(0)
        held.tell("answer")
        assert await asyncio.gather(*tasks) == [0, 0, 0]

    in_system(main)


def test_what_a_request_tells_of_itself(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        held, request = await asked(system)
        with pytest.raises(asyncio.InvalidStateError):
            request.result()
        with pytest.raises(asyncio.InvalidStateError):
            request.exception()
        held.tell("answer")
        await request
        assert request.done()
        assert (request.result(), request.exception(), request.cancelled()) == (0, None, False)
        assert not request.cancel()
        dead = system.start(Held)
        failed = dead.request("please")
        dead.kill()
        with pytest.raises(ActorDied):
            await failed
        assert isinstance(failed.exception(), ActorDied)
        _, given_up = await asked(system)
        assert given_up.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            given_up.result()
        with pytest.raises(asyncio.CancelledError):
            given_up.exception()

    in_system(main)


def test_callbacks_run_in_their_own_context_and_can_be_removed(in_system: Run) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    async def main(system: ActorSystem) -> None:
        seen: list[str] = []
        held, request = await asked(system)

        def first(done: Any) -> None:
            assert done is request
            seen.append(f"first {variable.get()}")

        def second(_done: Any) -> None:
            seen.append(f"second {variable.get()}")

        def never(_done: Any) -> None:
            seen.append("never")

        variable.set("one")
        request.add_done_callback(first)
        request.add_done_callback(never)
        context = contextvars.copy_context()
        context.run(variable.set, "two")
        request.add_done_callback(second, context=context)
        assert request.remove_done_callback(never) == 1
        held.tell("answer")
        await request
        await asyncio.sleep(0.01)
        assert seen == ["first one", "second two"]
        request.add_done_callback(first)
        await asyncio.sleep(0.01)
        assert seen[2:] == ["first one"]

    in_system(main)


def test_a_callback_that_raises_is_reported_and_hurts_nothing_else() -> None:
    async def main() -> None:
        reported: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, what: reported.append(str(what["exception"])))
        async with ActorSystem() as system:
            held, request = await asked(system)

            def broken(_done: Any) -> None:
                raise ValueError("broken")

            request.add_done_callback(broken)
            held.tell("answer")
            assert await request == 0
            assert await system.start(Echo).request("after") == "after"
        assert reported == ["broken"]

    asyncio.run(main())


def test_requests_to_a_system_of_another_thread_are_futures_here() -> None:
    with ActorSystem.in_background() as background:
        echo = background.start(Echo)

        async def main() -> None:
            answers = await asyncio.gather(*(echo.request(n) for n in range(50)))
            assert answers == list(range(50))
            assert await asyncio.wait_for(echo.request("x"), 120) == "x"
            for n in range(200):
                assert await echo.request(n) == n

        asyncio.run(main())


def test_tasks_that_ask_without_a_pause_leave_the_loop_to_others() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            echo = system.start(Echo)
            asked = 0
            enough = asyncio.Event()

            async def ask_on() -> None:
                nonlocal asked
                while not enough.is_set():
                    await echo.request(1)
                    asked += 1

            async def live() -> None:
                for _ in range(50):
                    await asyncio.sleep(0)
                enough.set()

            await asyncio.wait_for(asyncio.gather(ask_on(), ask_on(), live()), 120)
            assert asked > 100

    asyncio.run(main())


def test_a_task_that_was_answered_is_no_actor(in_system: Run) -> None:
    """It runs inside the turn that answered it, and must not pass for that actor."""

    async def main(system: ActorSystem) -> None:
        echo = system.start(Echo)
        for _ in range(3):
            await echo.request(1)
            assert system.scheduler.current is None

    in_system(main)


def test_a_request_that_was_waited_for_is_freed_at_once(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        echo = system.start(Echo)

        def alive() -> int:
            return sum(isinstance(thing, Request) for thing in gc.get_objects())

        gc.collect()
        gc.disable()
        try:
            before = alive()
            for n in range(20):
                await echo.request(n)
            await asyncio.gather(*(echo.request(n) for n in range(20)))
            await asyncio.sleep(0)
            assert alive() <= before + 1
        finally:
            gc.enable()

    in_system(main)


class Asker(Actor):
    """Waits for the request that it is sent, alone or with `gather`."""

    async def on_receive(self, message: Any) -> Any:
        how, request = message
        return await request if how == "await" else await gather(request, request)


def test_a_task_and_an_actor_may_wait_for_one_request(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        for how, wanted in (("await", 0), ("gather", [0, 0])):
            for first in ("task", "actor"):
                held, request = await asked(system)
                waiting: list[asyncio.Task[Any]] = []

                async def wait(request: Request) -> Any:
                    return await request

                for by in ("task", "actor") if first == "task" else ("actor", "task"):
                    asker = system.start(Asker)
                    wanted_of = request if by == "task" else asker.request((how, request))
                    waiting.append(asyncio.create_task(wait(wanted_of)))
                    for _ in range(3):
                        await asyncio.sleep(0)
                held.tell("answer")
                answers = await asyncio.wait_for(asyncio.gather(*waiting), 120)
                assert answers == ([0, wanted] if first == "task" else [wanted, 0])

    in_system(main)


def test_two_actors_may_wait_for_one_request(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        held, request = await asked(system)
        askers = [system.start(Asker).request(("await", request)) for _ in range(2)]
        await asyncio.sleep(0)
        held.tell("answer")
        assert await asyncio.wait_for(asyncio.gather(*askers), 120) == [0, 0]

    in_system(main)


@pytest.mark.parametrize("how", ["await", "gather"])
def test_the_others_that_wait_for_a_request_hear_that_an_actor_gave_it_up(
    in_system: Run, how: str
) -> None:
    async def main(system: ActorSystem) -> None:
        for first in ("task", "actor"):
            _held, request = await asked(system)
            asker = system.start(Asker)

            async def wait(request: Request = request) -> Any:
                return await request

            if first == "task":
                task = asyncio.create_task(wait())
                await asyncio.sleep(0)
                asker.tell((how, request))
            else:
                asker.tell((how, request))
                await asyncio.sleep(0)
                task = asyncio.create_task(wait())
            for _ in range(3):
                await asyncio.sleep(0)
            asker.exit("enough")
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 120)

    in_system(main)
