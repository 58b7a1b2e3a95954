"""Signals that drain before they end: of programs that wait for them, and of servers that handle them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from agenticaiframework.actors import ActorSystem, WrongUse

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are another thing there")

PROGRAM = """
import asyncio, json, os, signal, sys, threading, time
from contextlib import asynccontextmanager
from agenticaiframework.actors import ActorSystem, drain_on_signal, run_until_signal
from agenticaiframework.orchestration import EngineConfig, OrchestrationEngine

FORM, URL, STEP_S, DRAIN_S = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
FLOW = {"name": "flow", "steps": [{"id": "one", "agent": "work"}, {"id": "two", "agent": "work"}]}

def say(*words):
    print(*words, flush=True)

async def work(_):
    while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        await asyncio.sleep(0.001)  # until a signal is waited for, it ends the program
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        await asyncio.sleep(0.001)
    say("step")
    if STEP_S < 1000.0:
        while not engine.draining:
            await asyncio.sleep(0.001)
    await asyncio.sleep(STEP_S)
    say("step ends")

engine = OrchestrationEngine(EngineConfig(state_store=URL, persist_state=True))
engine.register_agent("work", work)

async def until_signal():
    async with ActorSystem("service") as system:
        await engine.start_workflow(FLOW)
        report = await system.until_signal(drain=engine, drain_s=DRAIN_S)
        say("end", report.reason, report.exit_code)

def background():
    system = ActorSystem.in_background("service")
    asyncio.run_coroutine_threadsafe(engine.start_workflow(FLOW), system.loop).result()
    report = run_until_signal(system, drain=engine, drain_s=DRAIN_S)
    say("end", report.reason, report.exit_code)

def server():
    import fastapi, uvicorn

    @asynccontextmanager
    async def lifespan(app):
        async with ActorSystem("service"), engine:
            with drain_on_signal(engine, DRAIN_S):
                await engine.start_workflow(FLOW)
                yield
        say("end of the lifespan")

    uvicorn.run(fastapi.FastAPI(lifespan=lifespan), port=0, log_level="warning")

if FORM == "until_signal":
    asyncio.run(until_signal())
elif FORM == "background":
    background()
else:
    server()
say("end of the program")
"""


def begin(form: str, folder: Path, step_s: float, drain_s: float) -> subprocess.Popen[str]:
    url = f"sqlite:///{folder}/runs.sqlite"
    service = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), form, url, str(step_s), str(drain_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert service.stdout is not None
    assert service.stdout.readline() == "step\n", service.communicate(timeout=120)
    return service


@pytest.fixture(params=["until_signal", "background", "server"])
def form(request: pytest.FixtureRequest) -> str:
    if request.param == "server":
        pytest.importorskip("fastapi")
        pytest.importorskip("uvicorn")
    return str(request.param)


def test_the_first_signal_lets_the_step_under_way_finish_and_begins_no_other(
    form: str, tmp_path: Path
) -> None:
    with begin(form, tmp_path, 0.2, 600.0) as service:
        service.send_signal(signal.SIGTERM)
        out, err = service.communicate(timeout=180)
    assert out.splitlines()[0] == "step ends", (out, err)
    assert out.count("step ends") == 1
    assert "step\n" not in out
    assert "end" in out.splitlines()[1]
    assert "drained" in err


def test_a_step_that_takes_too_long_is_cut_off_at_the_deadline(form: str, tmp_path: Path) -> None:
    with begin(form, tmp_path, 1000.0, 0.5) as service:
        service.send_signal(signal.SIGTERM)
        out, err = service.communicate(timeout=180)
    assert "step ends" not in out, (out, err)
    assert "end" in out


def test_the_second_signal_waits_for_no_drain(form: str, tmp_path: Path) -> None:
    with begin(form, tmp_path, 1000.0, 1000.0) as service:
        service.send_signal(signal.SIGTERM)
        # What is drained says so once it has begun; a signal before that would only be the first again.
        assert service.stderr is not None
        for line in service.stderr:
            if "is drained" in line:
                break
        service.send_signal(signal.SIGTERM)
        out, err = service.communicate(timeout=180)
    assert "step ends" not in out, (out, err)


def test_only_what_can_be_drained_is_taken() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            with pytest.raises(WrongUse, match="it has no `drain"):
                await system.until_signal(drain=["engine"])  # pyright: ignore[reportArgumentType]

    asyncio.run(main())
