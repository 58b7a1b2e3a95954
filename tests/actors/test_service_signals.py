"""Signals of the operating system: the first stops a service in order, the second at once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import pytest
from puppets import Puppet

from agenticaiframework.actors import (
    Actor,
    ActorSystem,
    AgenticError,
    GaveUp,
    NotMainThread,
    StopReport,
    run_until_signal,
)

Run = Callable[..., Any]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are another thing there")

SERVICE = """
import asyncio, signal, threading, time
from agenticaiframework.actors import Actor, ActorSystem, run_until_signal

class Server(Actor):
    async def on_stop(self):
        print("stopping:", self.exit_reason, flush=True)
        await asyncio.sleep({on_stop_s})
        print("stopped in order", flush=True)

def said(report):
    print("clean" if report.clean else f"killed {{report.killed}} abandoned {{report.abandoned}}",
          flush=True)

async def embedded():
    async with ActorSystem("service") as system:
        system.start(Server, _name="server")
        asyncio.get_running_loop().call_later(0.05, lambda: print("ready", flush=True))
        said(await system.until_signal(timeout=120))

def tell_when_ready():
    while (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
        or signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        time.sleep(0.001)
    print("ready", flush=True)

def background():
    system = ActorSystem.in_background("service")
    system.start(Server, _name="server")
    threading.Thread(target=tell_when_ready).start()
    said(run_until_signal(system, timeout=120))

def main():
    if "{form}" == "background":
        background()
    elif "{form}" == "uvloop":
        import uvloop
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(embedded())
    else:
        asyncio.run(embedded())
    print("end of the program", flush=True)

main()
"""


def start_service(form: str, on_stop_s: float) -> subprocess.Popen[str]:
    code = textwrap.dedent(SERVICE).format(form=form, on_stop_s=on_stop_s)
    service = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert service.stdout is not None
    line = service.stdout.readline()
    assert line == "ready\n", service.communicate(timeout=120)
    return service


@pytest.fixture(params=["embedded", "background", "uvloop"])
def form(request: pytest.FixtureRequest) -> str:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return str(request.param)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_stops_in_order(form: str, number: signal.Signals) -> None:
    with start_service(form, 0.05) as service:
        service.send_signal(number)
        out, err = service.communicate(timeout=120)
    assert out.splitlines() == [
        "stopping: shutdown",
        "stopped in order",
        "clean",
        "end of the program",
    ]
    assert service.returncode == 0
    assert number.name in err


def test_the_second_signal_ends_at_once(form: str) -> None:
    with start_service(form, 1000) as service:
        assert service.stdout is not None
        service.send_signal(signal.SIGTERM)
        assert service.stdout.readline() == "stopping: shutdown\n"
        service.send_signal(signal.SIGINT)
        out, _ = service.communicate(timeout=120)
    assert "stopped in order" not in out
    assert out.splitlines()[-1] == "end of the program"
    assert service.returncode == 0


def test_the_handlers_that_were_there_are_put_back(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        seen: list[int] = []

        def mine(number: int, _frame: Any) -> None:
            seen.append(number)

        before = signal.signal(signal.SIGTERM, mine)
        try:
            waiting = asyncio.ensure_future(system.until_signal())
            await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            assert (await waiting).clean
            assert seen == []
            os.kill(os.getpid(), signal.SIGTERM)
            assert seen == [signal.SIGTERM]
        finally:
            signal.signal(signal.SIGTERM, before)

    in_system(main)


def test_waiting_ends_too_when_somebody_else_stops_the_system(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.start(Puppet)
        waiting = asyncio.ensure_future(system.until_signal())
        await asyncio.sleep(0.01)
        report = await system.stop()
        assert await waiting is report
        assert not ref.is_alive()

    in_system(main)


def test_a_signal_that_another_thread_was_given_ends_the_waiting(in_system: Run) -> None:
    """It is handled in the main thread, which it does not wake."""

    async def main(system: ActorSystem) -> None:
        system.start(Puppet)
        waiting = asyncio.ensure_future(system.until_signal())
        await asyncio.sleep(0)
        thread = threading.Thread(target=signal.raise_signal, args=(signal.SIGTERM,))
        thread.start()
        assert (await waiting).clean
        thread.join(120)

    in_system(main)


def test_waiting_for_a_system_that_has_ended_already_returns(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        report = await system.stop()
        assert await system.until_signal() is report

    in_system(main)


def test_a_background_system_may_be_waited_for_on_another_loop() -> None:
    system = ActorSystem.in_background()
    ref = system.start(Puppet)

    async def main() -> StopReport:
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
        return await system.until_signal()

    assert asyncio.run(main()).clean
    assert not ref.is_alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_report_names_the_signal_and_the_program_ends_well(
    in_system: Run, number: signal.Signals
) -> None:
    """The end was asked for: process managers take any other code than 0 for a failure."""

    async def main(system: ActorSystem) -> None:
        system.start(Puppet)
        waiting = asyncio.ensure_future(system.until_signal())
        await asyncio.sleep(0.01)
        os.kill(os.getpid(), number)
        report = await waiting
        assert (report.reason, report.exit_code, report.clean) == (number.name, 0, True)
        assert (await system.stop()).exit_code == 0

    in_system(main)


def test_a_stop_by_the_program_itself_says_so(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        waiting = asyncio.ensure_future(system.until_signal())
        await asyncio.sleep(0.01)
        await system.stop()
        report = await waiting
        assert (report.reason, report.exit_code) == ("stopped", 0)

    in_system(main)


@pytest.mark.parametrize("when", ["before", "while it waits", "twice"])
def test_a_give_up_ends_the_waiting_with_another_code(in_system: Run, when: str) -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.start(Puppet)
        if when == "before":
            system.give_up("root", "too many failures")
        waiting = asyncio.ensure_future(system.until_signal())
        await asyncio.sleep(0.01)
        if when != "before":
            system.give_up("root", "too many failures")
        if when == "twice":
            system.give_up("other", "later")
            os.kill(os.getpid(), signal.SIGTERM)
        report = await waiting
        assert report.clean
        assert (report.reason, report.exit_code) == ("root gave up: too many failures", 1)
        assert not ref.is_alive()
        assert system.gave_up == GaveUp("root", "too many failures")
        assert await system.stop() == report
        system.give_up("root", "after the end")  # and nothing happens

    in_system(main)


def test_a_give_up_that_hangs_is_ended_by_a_signal(in_system: Run) -> None:
    class Stubborn(Actor):
        async def on_stop(self) -> None:
            await asyncio.sleep(1000)

    async def main(system: ActorSystem) -> None:
        system.start(Stubborn)
        waiting = asyncio.ensure_future(system.until_signal(timeout=500))
        await asyncio.sleep(0.01)
        system.give_up("root", "too many failures")
        await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        report = await waiting
        assert report.exit_code == 1
        assert report.reason == "root gave up: too many failures"

    in_system(main)


def test_a_background_system_that_gives_up_ends_the_waiting() -> None:
    class Quitter(Actor):
        def on_receive(self, message: Any) -> None:
            self.system.give_up("root", message)

    system = ActorSystem.in_background()
    system.start(Quitter).tell("no more")
    report = run_until_signal(system)
    assert (report.reason, report.exit_code) == ("root gave up: no more", 1)


def test_a_background_system_that_gives_up_may_be_waited_for_on_another_loop() -> None:
    class Quitter(Actor):
        async def on_start(self) -> None:
            self.send_after(0.05, "no more")

        def on_receive(self, message: Any) -> None:
            self.system.give_up("root", message)

    system = ActorSystem.in_background()
    system.start(Quitter)

    async def main() -> StopReport:
        return await system.until_signal()

    assert asyncio.run(main()).exit_code == 1


def test_a_background_system_names_the_signal() -> None:
    system = ActorSystem.in_background()
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    report = run_until_signal(system)
    assert (report.reason, report.exit_code) == ("SIGINT", 0)


def test_a_background_system_that_ends_by_itself_ends_the_waiting() -> None:
    class Ender(Actor):
        def on_receive(self, message: Any) -> None:
            asyncio.get_running_loop().create_task(self.system.stop())

    system = ActorSystem.in_background()
    system.start(Ender).tell("end")
    assert run_until_signal(system).clean


def test_signals_can_be_waited_for_in_the_main_thread_only() -> None:
    refused: list[Any] = []

    async def main() -> None:
        async with ActorSystem() as system:
            with pytest.raises(NotMainThread) as error:
                await system.until_signal()
            refused.append(error.value)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join(120)
    assert isinstance(refused[0], AgenticError)
    assert "in_background" in str(refused[0])
