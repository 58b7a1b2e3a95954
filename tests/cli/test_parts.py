"""The command line's parts that need no workflow: inputs, crashes, handlers, interrupts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import install_command
from agenticaiframework.cli.inputs import BadInput, read_inputs
from agenticaiframework.cli.interrupts import Interrupted, run_interruptible
from agenticaiframework.cli.project.crash import BadCrash, InjectedCrash, read_crash
from agenticaiframework.cli.project.handlers import HandlerNotFound, Handlers


def test_inputs_are_text_json_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "values.json"
    file.write_text('{"from_file": [1, 2]}', encoding="utf-8")
    assert read_inputs(["q=a=b", "n:=3", "flag:=true", "empty=", f"@{file}"]) == {
        "q": "a=b",
        "n": 3,
        "flag": True,
        "empty": "",
        "from_file": [1, 2],
    }


@pytest.mark.parametrize("text", ["query", "=x", "n:=three", "@/none.json", ":=1"])
def test_a_bad_input_is_shown_the_forms_that_work(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_inputs([text])
    assert text in str(caught.value)
    assert 'query="any text"' in str(caught.value)


def test_an_input_given_twice_is_an_error() -> None:
    with pytest.raises(BadInput, match="twice"):
        read_inputs(["q=1", "q=2"])


def test_a_crash_happens_once_at_its_message() -> None:
    crash = read_crash("writer@2", ["writer", "reader"])

    async def answer(payload: Any) -> str:
        return f"did {payload}"

    async def main() -> None:
        handler = crash.around(answer)
        assert await handler(1) == "did 1"
        assert not crash.landed
        with pytest.raises(InjectedCrash, match="'writer' crashed on purpose at its message 2"):
            await handler(2)
        assert crash.landed
        assert await handler(2) == "did 2"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("writer", "researcher@2"),
        ("writer@0", "researcher@2"),
        ("writer@x", "researcher@2"),
        (f"writer@{'9' * 5000}", "researcher@2"),
        ("writr@1", "Did you mean 'writer'?"),
    ],
)
def test_a_crash_that_cannot_happen_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadCrash) as caught:
        read_crash(text, ["writer"])
    assert said in str(caught.value)


def test_a_handler_is_found_beside_the_project_file(tmp_path: Path) -> None:
    (tmp_path / "my_handlers_here.py").write_text("def answer(payload):\n    return payload * 2\n")
    path = list(sys.path)
    handlers = Handlers(tmp_path, ())
    assert handlers.load("a", "my_handlers_here:answer")(4) == 8
    assert sys.path == path
    with pytest.raises(HandlerNotFound, match="Did you mean 'answer'"):
        handlers.load("a", "my_handlers_here:anser")
    with pytest.raises(HandlerNotFound, match="Did you mean 'answer'"):
        handlers.look_up("a", "my_handlers_here:anser")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "is in no module"),
        ("import surely_not_installed_here", "needs the missing 'surely_not_installed_here'"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("raise SystemExit(0)", "it ends the program with 0"),
    ],
)
def test_a_handler_that_cannot_be_had_is_named(
    source: str | None, said: str, tmp_path: Path
) -> None:
    if source is not None:
        (tmp_path / "broken_handlers.py").write_text(source)
    with pytest.raises(HandlerNotFound) as caught:
        Handlers(tmp_path, ()).load("writer", "broken_handlers:answer")
    assert "agents.writer.handler" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("source", "handler", "said"),
    [
        ("from nowhere import *", "m:anything", None),
        ("import os\nif os:\n    def answer(p): ...\nraise SystemExit", "m:answer", None),
        ("x, answer = 1, print", "m:answer", None),
        ("def other(): ...", "m:answer", "is not a function there"),
        ("def answer(:", "m:answer", "cannot be read"),
        (None, "subprocess:getoutput", "is in no module"),
        (None, "builtins:eval", "is in no module"),
        (None, "os.path:join", "is in no module"),
    ],
)
def test_looking_for_a_handler_runs_nothing(
    source: str | None, handler: str, said: str | None, tmp_path: Path
) -> None:
    if source is not None:
        (tmp_path / "m.py").write_text(source)
    handlers = Handlers(tmp_path, ())
    if said is None:
        assert handlers.look_up("a", handler)(1) == 1
    else:
        with pytest.raises(HandlerNotFound, match=said):
            handlers.look_up("a", handler)
    assert "m" not in sys.modules


def test_functions_of_an_installed_package_are_handlers_if_the_file_names_it(
    tmp_path: Path,
) -> None:
    with pytest.raises(HandlerNotFound, match=r"packages: \[pykka\]"):
        Handlers(tmp_path, ()).load("a", "pykka._ref:ActorRef")
    handlers = Handlers(tmp_path, ("pykka",))
    handlers.look_up("a", "pykka._ref:ActorRef")
    assert handlers.load("a", "pykka._ref:ActorRef").__name__ == "ActorRef"


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_the_first_interrupt_stops_in_order() -> None:
    said: list[str] = []
    cleaned: list[str] = []

    async def main() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("cleaned up")

    with pytest.raises(Interrupted):
        run_interruptible(main, said.append)
    assert cleaned == ["cleaned up"]
    assert len(said) == 1


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_the_second_interrupt_ends_at_once() -> None:
    program = textwrap.dedent("""
        import asyncio, os, signal
        from agenticaiframework.cli.interrupts import run_interruptible

        async def main():
            try:
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.Event().wait()
            finally:
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.Event().wait()

        run_interruptible(main, print)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120)
    assert done.returncode == 130


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_the_second_interrupt_ends_at_once_also_while_a_handler_blocks_the_loop() -> None:
    program = textwrap.dedent("""
        import os, signal, threading
        from agenticaiframework.cli.interrupts import run_interruptible

        heard = threading.Event()  # a second one before that would be the same as the first

        def interrupt_twice():
            os.kill(os.getpid(), signal.SIGINT)
            heard.wait()
            os.kill(os.getpid(), signal.SIGINT)

        async def main():
            handle = signal.getsignal(signal.SIGINT)

            def hear(number, frame):
                handle(number, frame)
                heard.set()

            signal.signal(signal.SIGINT, hear)
            threading.Thread(target=interrupt_twice).start()
            while True:
                pass

        run_interruptible(main, print)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120)
    assert done.returncode == 130


def test_without_the_extra_the_command_names_it() -> None:
    program = textwrap.dedent("""
        import sys
        sys.modules["cyclopts"] = None
        from agenticaiframework.cli import main
        sys.exit(main(["schema"]))
    """)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert install_command("cli") in done.stderr
    assert "Traceback" not in done.stderr
