"""The dispatcher ``process``: handlers in child processes, which a kill ends for real."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import child_work
import pytest
from child_work import Child, OneSlot, Slotted, Turned, Unpicklable
from puppets import Puppet, do, ended, seen, until

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorSystem,
    Address,
    Agent,
    AgentDefinitionError,
    AgentFailed,
    AgentTimeout,
    Down,
    NotInChild,
    NotPicklable,
    ProcessDied,
    RemoteError,
    RequestTimeout,
    WrongUse,
    with_context,
)
from agenticaiframework.actors.dispatch import processes
from agenticaiframework.actors.dispatch.processes import Child as Handle

Run = Callable[..., Any]


def children() -> set[int]:
    """The pids of this process' children that are not multiprocessing's own helper."""
    psutil = pytest.importorskip("psutil")
    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(
                process.cmdline()
            ):
                found.add(process.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def block_until(true: Callable[[], Any]) -> None:
    """Block the calling thread, at most two minutes, until *true* returns something true."""
    deadline = time.monotonic() + 120
    while not true() and time.monotonic() < deadline:
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def no_process_is_left() -> Any:
    before = children()
    yield
    block_until(lambda: not children() - before)
    assert children() - before == set()


# -- what runs where ------------------------------------------------------------------------------


def test_the_handler_runs_in_another_process_and_the_hooks_here(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Child, _name="one")
        pid = await one.request("pid")
        assert pid != os.getpid()
        assert await one.request("pid") == pid, "children are kept"
        assert await one.request("started_in") == os.getpid()
        assert await one.request(("async", "value")) == "value"
        assert await one.request("name") == ("one", "one")
        assert await asyncio.to_thread(one.ask, ("echo", 1)) == 1

    in_system(main, processes=1)


def test_an_actor_keeps_its_state_from_message_to_message(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one, other = system.start(Child), system.start(Child, count=10)
        assert [await one.request("count") for _ in range(3)] == [1, 2, 3]
        assert await other.request("count") == 11
        assert await one.request(("note", "a")) == ["a"]
        assert await one.request(("note", "b")) == ["a", "b"]
        actor = one._actor
        assert actor is not None
        assert (actor.count, actor.log) == (5, ["a", "b"])
        slotted = system.start(Slotted)
        assert [await slotted.request(n) for n in (1, 2)] == [(1, 1), (3, 2)]
        one_slot = system.start(OneSlot)
        assert [await one_slot.request(n) for n in (1, 2)] == [1, 3]

    in_system(main, processes=2)


def test_a_behaviour_and_a_proxied_method_run_there_too(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        turned = system.start(Turned)
        who, message, pid = await turned.request("hello")
        assert (who, message) == ("other", "hello")
        assert pid != os.getpid()
        proxy = system.start(Child).proxy()
        assert await proxy.method(5) == 5
        assert await proxy.count == 5
        await asyncio.to_thread(setattr, proxy, "count", 40)
        assert await proxy.method(2) == 42

    in_system(main, processes=1)


def test_messages_are_handled_one_at_a_time_and_in_order(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Child)
        requests = [one.request(("note", n)) for n in range(20)]
        for request in requests:
            await request
        assert await one.request(("note", "end")) == [*range(20), "end"]

    in_system(main, processes=3)


def test_computing_neither_blocks_the_loop_nor_another_child(
    in_system: Run, tmp_path: Path
) -> None:
    async def main(system: ActorSystem) -> None:
        burners = [system.start(Child) for _ in range(2)]
        enough = tmp_path / "enough"
        begun = [tmp_path / f"begun {number}" for number in range(2)]
        burning = [
            burner.request(("burn", str(path), str(enough)))
            for burner, path in zip(burners, begun, strict=True)
        ]
        await until(lambda: all(path.exists() for path in begun))
        for _ in range(20):
            await asyncio.sleep(0.002)
        assert not any(burnt.done() for burnt in burning)
        enough.touch()
        assert [await burnt for burnt in burning] == ["burnt", "burnt"]

    in_system(main, processes=2)


# -- agents ------------------------------------------------------------------------------------


def test_an_agent_with_an_importable_handler_runs_it_in_a_child(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        for handler in (child_work.square, child_work.square_async):
            agent = Agent("squarer", handler=handler, dispatcher="process")
            value, pid = await agent.ask(7)
            assert value == 49
            assert pid != os.getpid()
            await agent.stop()
        reader = Agent("reader", handler=child_work.context, dispatcher="process")
        assert await reader.ask(1, context={"key": "k-1"}) == {"key": "k-1"}
        assert await reader.ask(1) == {}

    in_system(main, processes=1)


def test_an_agents_failure_comes_with_the_childs_traceback(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("failing", handler=child_work.fail, dispatcher="process")
        with pytest.raises(AgentFailed) as failed:
            await agent.ask("missing")
        cause = failed.value.__cause__
        assert isinstance(cause, KeyError)
        assert "child_work.py" in "\n".join(cause.__notes__)

    in_system(main, processes=1)


def test_an_agents_timeout_ends_the_process(in_system: Run, tmp_path: Path) -> None:
    async def main(system: ActorSystem) -> None:
        path = tmp_path / "mark"
        agent = Agent("marking", handler=child_work.mark, dispatcher="process")
        await system.start(Child).request("pid")  # so that there is a child, which takes time
        asked = asyncio.ensure_future(agent.ask(str(path), timeout=4))
        await until(path.exists)
        with pytest.raises(AgentTimeout):
            await asked
        await until(lambda: not children() - before)
        content = path.read_text()
        await asyncio.sleep(0.1)
        assert path.read_text() == content, "nobody writes any more"
        assert system.abandoned == 0, "nothing is left behind"

    before = children()
    in_system(main, processes=1)


def test_cancelling_an_ask_ends_its_work(in_system: Run, tmp_path: Path) -> None:
    async def main(system: ActorSystem) -> None:
        path = tmp_path / "mark"
        agent = Agent("marking", handler=child_work.mark, dispatcher="process")
        asked = asyncio.ensure_future(agent.ask(str(path)))
        await until(path.exists)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await until(lambda: not children() - before)
        path.unlink()
        again = asyncio.ensure_future(agent.ask(str(path)))
        await until(path.exists)
        again.cancel()
        with pytest.raises(asyncio.CancelledError):
            await again

    before = children()
    in_system(main, processes=1)


def test_an_agent_whose_child_dies_fails_and_works_again(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("dying", handler=child_work.die, dispatcher="process")
        with pytest.raises(AgentFailed) as failed:
            await agent.ask(1)
        assert isinstance(failed.value.__cause__, ProcessDied)
        assert failed.value.__cause__.signal == "SIGKILL"
        sound = Agent("sound", handler=child_work.square, dispatcher="process")
        assert (await sound.ask(2))[0] == 4

    in_system(main, processes=1)


# -- death -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "exitcode", "name"),
    [
        ("kill", -9, "SIGKILL"),
        ("segfault", -11, "SIGSEGV"),
        ("exit 0", 0, None),
        ("exit 7", 7, None),
    ],
)
def test_a_childs_death_is_its_actors_exit_and_its_askers_error(
    in_system: Run, how: str, exitcode: int, name: str | None
) -> None:
    async def main(system: ActorSystem) -> None:
        one, watcher = system.start(Child, _name="one"), system.start(Puppet)
        await do(watcher, lambda puppet: puppet.monitor(one))
        await one.request("count")
        with pytest.raises(ProcessDied) as died:
            await one.request(("die", how))
        assert (died.value.exitcode, died.value.signal) == (exitcode, name)
        assert died.value.actor == "one"
        [down] = await seen(watcher)
        assert isinstance(down, Down)
        assert down.reason is died.value
        again = system.start(Child)
        assert await again.request("count") == 1

    in_system(main, processes=1)


def test_a_told_message_whose_child_dies_is_a_dead_letter(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Child)
        one.tell(("die", "kill"))
        one.tell("waits behind")
        reason = await ended(one)
        assert isinstance(reason, ProcessDied)
        letters = [(d.message, d.reason) for d in system.dead_letters]
        assert letters == [(("die", "kill"), reason), ("waits behind", reason)]

    in_system(main, processes=1)


def test_what_waits_behind_a_death_goes_on_in_the_next_incarnation(in_system: Run) -> None:
    class Parent(Actor):
        async def on_receive(self, message: Any) -> Any:
            self.trap_exit = True
            if message == "start":
                ref = await self.start_link(Child, mailbox_to=address)
                assert ref is not None
                address.bind(ref)
                return ref
            return None

    address: Any = None

    async def main(system: ActorSystem) -> None:
        nonlocal address
        address = Address("worker", system)
        parent = system.start(Parent)
        first = await parent.request("start")
        died = address.request(("die", "kill"))
        kept = [address.request(("note", n)) for n in range(20)]
        with pytest.raises(ProcessDied):
            await died
        assert isinstance(await ended(first), ProcessDied)
        await parent.request("start")
        assert await kept[-1] == list(range(20))

    in_system(main, processes=1)


def test_a_child_that_dies_while_it_is_idle_is_replaced(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Child)
        pid = await one.request("pid")
        os.kill(pid, 9)
        await until(lambda: pid not in children())
        other = await one.request("pid")
        assert other != pid
        assert await one.request("count") == 3

    in_system(main, processes=1)


def test_sys_exit_in_a_child_ends_neither_the_child_nor_the_program(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Child)
        pid = await one.request("pid")
        with pytest.raises(RemoteError, match="SystemExit: 5"):
            await one.request(("die", "sys.exit"))
        assert await one.request("pid") == pid

    in_system(main, processes=1)


# -- being ended -------------------------------------------------------------------------------


def test_a_kill_ends_the_process_at_once(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Child)
        pid = await one.request("pid")
        asked = one.request(("sleep", 60))
        await until(lambda: system.info(one).current_message == ("sleep", 60))
        one.kill()
        with pytest.raises(ActorDied) as died:
            await asked
        assert died.value.reason == "killed"
        await until(lambda: pid not in children())
        assert system.abandoned == 0

    in_system(main, processes=1)


def test_a_requests_timeout_ends_the_work_and_the_actor_goes_on(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Child)
        pid = await one.request("pid")
        with pytest.raises(RequestTimeout):
            await one.request(("sleep", 600), timeout=1)
        await until(lambda: pid not in children())
        assert await one.request("count") == 2, "the message that was ended has changed nothing"

    in_system(main, processes=1)


def test_an_exit_signal_lets_the_handler_finish_within_the_grace(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Child)
        await one.request("pid")
        asked = one.request(("sleep", 0.1))
        await until(lambda: system.info(one).current_message == ("sleep", 0.1))
        one.exit("moving")
        assert await asked == "slept"
        assert await ended(one) == "moving"
        system.cancel_grace_s = 0.2
        other = system.start(Child)
        await other.request("pid")
        stuck = other.request(("sleep", 60))
        await until(lambda: system.info(other).current_message == ("sleep", 60))
        other.exit("moving")
        with pytest.raises(ActorDied):
            await stuck
        assert await ended(other) == "moving"

    in_system(main, processes=1, cancel_grace_s=20)


def test_stopping_the_system_leaves_no_process(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        idle, busy = system.start(Child), system.start(Child)
        pids = {await idle.request("pid")}
        waiting = busy.request(("sleep", 600))
        await until(lambda: system.info(busy).current_message)
        pids |= children()
        report = await system.stop(timeout=1)
        with pytest.raises(ActorDied):
            await waiting
        assert report.abandoned == []
        assert report.duration_s < 300, "it does not wait for the work"
        await until(lambda: not pids & children())

    in_system(main, processes=2, cancel_grace_s=0.2)


def test_a_child_that_is_still_starting_ends_with_its_system(
    in_system: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take long, because it imports the program's main module first."""
    monkeypatch.setattr("agenticaiframework.actors.dispatch.processes.READY", b"another word")

    async def main(system: ActorSystem) -> None:
        one = system.start(Child)
        waits = threading.Event()
        receive = Handle._receive

        def wait_long(child: Any) -> bytes | None:
            said = receive(child)
            waits.set()
            child._answers(60)
            return said

        monkeypatch.setattr(Handle, "_receive", wait_long)
        asked = one.request("pid")
        await asyncio.to_thread(waits.wait, 120)
        report = await system.stop(timeout=0.1)
        assert report.abandoned == []
        assert report.killed == [one.label]
        with pytest.raises(ActorDied):
            await asked

    in_system(main, processes=1)


def test_exit_in_a_child_ends_the_actor_with_that_reason(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Child)
        with pytest.raises(ActorDied):
            await one.request(("stop", ("shutdown", "enough")))
        assert await ended(one) == ("shutdown", "enough")

    in_system(main, processes=1)


def test_a_busy_pool_makes_others_wait_and_a_waiting_one_can_be_ended(
    in_system: Run, tmp_path: Path
) -> None:
    async def main(system: ActorSystem) -> None:
        busy, waiting = system.start(Child), system.start(Child)
        begun, go_on = tmp_path / "begun", tmp_path / "go on"
        work = busy.request(("touch_and_wait", str(begun), str(go_on)))
        await until(begun.exists)
        queued = waiting.request("pid")
        waiting.exit("not needed any more")
        with pytest.raises(ActorDied):
            await queued
        assert system.info(busy).current_message, (
            "nobody had begun it: there is nothing to wait for"
        )
        assert system.abandoned == 0
        go_on.touch()
        assert await work == "waited"

    in_system(main, processes=1)


# -- errors and what can cross -------------------------------------------------------------------


def test_an_error_in_a_child_is_raised_here_with_the_childs_traceback(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Child)
        with pytest.raises(ValueError, match="no good") as failed:
            await one.request(("fail", "no good"))
        assert any("do_fail" in note for note in failed.value.__notes__)
        assert await one.request(("note", 1)) == ["before the failure", 1]
        with pytest.raises(RemoteError, match="Stubborn: a b") as stubborn:
            await one.request("fail_stubbornly")
        assert stubborn.value.kind == "Stubborn"

    in_system(main, processes=1)


def test_what_cannot_be_pickled_is_named_before_anything_runs(in_system: Run) -> None:
    class Local(Actor):
        dispatcher = "process"

    async def main(system: ActorSystem) -> None:
        with pytest.raises(NotPicklable, match="The class .*Local"):
            system.start(Local)
        one = system.start(Child, _name="one")
        with pytest.raises(NotPicklable, match="The message Unpicklable to one"):
            await one.request(Unpicklable())
        with pytest.raises(NotPicklable, match="context variables stay"):
            await one.request(with_context("pid"))
        with pytest.raises(NotPicklable, match="The result, lock,"):
            await one.request("unpicklable")
        with pytest.raises(NotPicklable, match=r"one\.kept"):
            await one.request("keep_unpicklable")
        bad = system.start(Child, _name="bad", tool=Unpicklable())
        with pytest.raises(NotPicklable, match=r"Child\.tool of bad"):
            await bad.request("pid")
        assert system.actors() == [one, bad]

    in_system(main, processes=1)


def test_an_agent_that_cannot_run_in_a_child_is_refused_when_it_is_made() -> None:
    with pytest.raises(NotPicklable, match="The handler of agent 'lambda'"):
        Agent("lambda", handler=lambda payload: payload, dispatcher="process")
    with pytest.raises(AgentDefinitionError, match="leave dispatcher= out"):
        Agent("model", model="gpt-4o-mini", dispatcher="process")
    with pytest.raises(WrongUse, match="'process'"):
        Agent("typo", handler=child_work.square, dispatcher="proces")
    with pytest.raises(WrongUse, match="processes=8"):
        ActorSystem(processes=0)


@pytest.mark.parametrize("what", ["system", "link", "spawn", "tell", "timer"])
def test_what_belongs_to_the_system_cannot_be_used_in_a_child(in_system: Run, what: str) -> None:
    async def main(system: ActorSystem) -> None:
        with pytest.raises(NotInChild, match="runs its handlers in a child process"):
            await system.start(Child).request(("use", what))

    in_system(main, processes=1)


def test_an_agents_inbox_is_read_in_the_parent(in_system: Run) -> None:
    from agenticaiframework.actors import InboxMessage

    async def main(system: ActorSystem) -> None:
        agent = Agent("squarer", handler=child_work.square, dispatcher="process")
        got: list[Any] = []

        @agent.on_message
        def keep(message: InboxMessage) -> None:
            got.append((message.content, os.getpid()))

        agent.address().tell(InboxMessage("note", "hello"))
        await until(lambda: got)
        assert got == [("hello", os.getpid())]

    in_system(main, processes=1)


def test_errors_of_the_dispatcher_survive_pickling_themselves() -> None:
    for error in (
        ProcessDied("one", -9),
        NotPicklable("The message", "TypeError: no"),
        RemoteError("KeyError", "'x'"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
    assert "out of memory" in str(ProcessDied("one", -9))


# -- programs ------------------------------------------------------------------------------------

PROGRAM = """
import sys
from agenticaiframework.actors import Actor, ActorSystem

class Doubler(Actor):
    dispatcher = "process"
    def on_receive(self, message):
        return message * 2

def main():
    system = ActorSystem.in_background(processes=1)
    print(system.start(Doubler).ask(21), flush=True)
    if "stop" in sys.argv:
        system.stop_blocking(5)

{call}
"""


def run_program(tmp_path: Path, call: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(PROGRAM).format(call=call))
    return subprocess.run(
        [sys.executable, str(path), *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("arguments", [("stop",), ()])
def test_a_program_may_define_its_actors_itself_and_ends(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = run_program(tmp_path, 'if __name__ == "__main__":\n    main()', *arguments)
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr


def test_a_program_without_a_guarded_main_is_told_what_is_missing(tmp_path: Path) -> None:
    done = run_program(tmp_path, "main()")
    assert done.returncode != 0
    assert "ProcessDied" in done.stderr
    assert 'if __name__ == "__main__":' in done.stderr


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    path = tmp_path / "program.py"
    call = 'if __name__ == "__main__":\n    main()\n    print("ready", flush=True)\n    sys.stdin.read()'
    path.write_text(textwrap.dedent(PROGRAM).format(call=call))
    with subprocess.Popen(
        [sys.executable, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "42\n"
        assert program.stdout.readline() == "ready\n"
        left = psutil.Process(program.pid).children()
        assert left
        program.kill()
        program.wait(120)
        _, alive = psutil.wait_procs(left, timeout=120)
        assert alive == []


def test_threads_of_ended_pools_are_gone(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        await system.start(Child).request("pid")
        assert any("test-process" in t.name for t in threading.enumerate())

    in_system(main, processes=1)
    block_until(lambda: not any("test-process" in t.name for t in threading.enumerate()))
    assert not any("test-process" in t.name for t in threading.enumerate())


def test_a_kill_ends_the_process_also_when_nobody_waits_for_its_work(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Child)
        pid = await one.request("pid")
        one.tell(("sleep", 60))
        await until(lambda: system.info(one).current_message == ("sleep", 60))
        one.kill()
        assert await ended(one) == "killed"
        await until(lambda: pid not in children())

    in_system(main, processes=1)


def test_a_kill_that_comes_when_the_child_is_at_other_work_leaves_that_alone(
    in_system: Run, tmp_path: Path
) -> None:
    """The loop may be busy while a child ends one actor's handler and begins another's."""

    async def main(system: ActorSystem) -> None:
        one, other = system.start(Child), system.start(Child)
        await one.request("pid")
        await until(lambda: system.info(one).state == "idle")
        begun, go_on = tmp_path / "begun", tmp_path / "go on"
        asked = one.request(("sleep", 0.2))
        await until(lambda: system.info(one).state == "running")
        behind = other.request(("touch_and_wait", str(begun), str(go_on)))
        await until(lambda: system.info(other).state == "running")
        block_until(begun.exists)  # the loop, which so does not see the first one's end
        one.kill()
        go_on.touch()
        assert await behind == "waited"
        await asyncio.gather(asked, return_exceptions=True)

    in_system(main, processes=1)


def test_a_death_that_another_thread_hears_of_first_is_told_with_its_exit_code(
    in_system: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starting a process in another thread asks the operating system who else has ended."""
    from multiprocessing.popen_spawn_posix import Popen

    real_poll = Popen.poll
    told: dict[int, int] = {}

    def poll(self: Any, *flags: int) -> int | None:
        code = real_poll(self, *flags)
        if code is None or told.setdefault(self.pid, 0) >= 5:
            return code
        told[self.pid] += 1
        return None  # as when another thread has been told, and not yet told the process object

    monkeypatch.setattr(Popen, "poll", poll)

    async def main(system: ActorSystem) -> None:
        one = system.start(Child)
        with pytest.raises(ProcessDied) as died:
            await one.request(("die", "exit 7"))
        assert died.value.exitcode == 7
        other = system.start(Child)
        assert await other.request(("echo", 1)) == 1

    in_system(main, processes=1)


def test_of_a_child_that_died_while_it_had_nothing_to_do_nothing_is_kept(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Child)
        for _ in range(3):
            pid = await one.request("pid")
            (process,) = (child.process for child in alive if child.process.pid == pid)
            process.kill()
            await until(lambda process=process: not process.is_alive())
        await one.request("pid")
        assert len(alive - before) == 1

    alive = processes._children
    before = set(alive)
    in_system(main, processes=1)
    assert not alive - before


def test_a_system_stops_when_its_children_have_ended(
    in_system: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those whose threads are no part of the pool any more when it is looked at again."""
    looks: list[None] = []
    stop, close = processes.ProcessPool.stop, Handle.close

    def count(pool: Any, wait_s: float) -> list[str]:
        looks.append(None)
        return stop(pool, wait_s)

    def close_slowly(child: Handle, *, kill: bool = False) -> None:
        block_until(lambda: len(looks) > 2)
        close(child, kill=kill)
        closed.append(child)

    async def main(system: ActorSystem) -> None:
        monkeypatch.setattr(processes.ProcessPool, "stop", count)
        monkeypatch.setattr(Handle, "close", close_slowly)
        await system.start(Child).request("pid")
        report = await system.stop()
        assert len(closed) == 1
        assert report.clean

    closed: list[Handle] = []
    in_system(main, processes=1)


def test_a_child_may_end_while_it_is_about_to_be_killed(in_system: Run) -> None:
    """Its thread closes it in the moment in which the loop has found that it is to be killed."""

    async def main(system: ActorSystem) -> None:
        one = system.start(Child)
        await one.request("pid")
        pool: Any = system.pools.choose("", "process", system.scheduler.loop)
        (worker,) = pool._workers
        worker._child.close(kill=True)
        worker.retire()
        worker._child = None
        one.kill()
        await ended(one)

    in_system(main, processes=1)


FORKING = """
import os, sys, warnings
from agenticaiframework.actors import Actor, ActorSystem

class Worker(Actor):
    dispatcher = "process"

    def on_receive(self, message):
        return os.getpid()

def main():
    warnings.simplefilter("ignore")
    with ActorSystem.in_background(processes=1) as system:
        ref = system.start(Worker)
        pid = ref.ask("pid")
        child = os.fork()
        if child == 0:
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        print("the same worker:", ref.ask("pid") == pid, status, flush=True)

if __name__ == "__main__":
    main()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_that_ends_leaves_the_children_of_its_parent_alone(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(FORKING)
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "the same worker: True 0\n", done.stderr
