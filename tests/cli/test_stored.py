"""Stored runs, seen and steered by the command."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cyclopts")
yaml = pytest.importorskip("yaml")

from agenticaiframework.cli import main
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.testing import scripted_model

STEPS: list[dict[str, Any]] = [
    {"id": "first", "agent": "worker", "input": {"n": "$input.n"}},
    {"id": "second", "agent": "worker", "input": {"after": "$first.result"}},
]


class Desk:
    """A project in a folder of its own, with a store beside it."""

    def __init__(self, folder: Path) -> None:
        self.file = str(folder / "project.yaml")
        self.store = f"sqlite:///{folder}/runs.sqlite"
        self.write(STEPS)

    def write(self, steps: list[dict[str, Any]]) -> None:
        data = {
            "agents": {"worker": {"model": "scripted"}},
            "engine": {"state_store": self.store, "persist_state": True},
            "workflow": {"name": "small", "steps": steps},
        }
        Path(self.file).write_text(yaml.safe_dump(data), encoding="utf-8")

    def run(self) -> int:
        return main(["run", self.file, "--input", "n:=1"])

    def command(self, *arguments: str) -> int:
        return main(["workflows", *arguments, "--store", self.store])

    def runs(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert self.command("list", "--json", *arguments) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["workflows"]
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def failing_second(agent: str, payload: Any) -> str:
    if "after" in payload:
        raise RuntimeError("not today")
    return "one"


def test_runs_are_listed_and_shown(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.run() == 0
    (run,) = desk.runs(capsys)
    assert (run["name"], run["state"]) == ("small", "completed")
    assert desk.command("list") == 0
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{run['workflow_id']}\tsmall\t")
    assert desk.command("show", run["workflow_id"]) == 0
    shown = capsys.readouterr().out
    assert "100%" in shown
    assert "second\tcompleted\t1" in shown
    assert desk.command("show", run["workflow_id"], "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"]["first"]["state"] == "completed"
    assert desk.runs(capsys, "--state", "failed") == []
    assert desk.runs(capsys, "--name", "other") == []


def test_a_failed_run_is_resumed_after_its_finished_steps(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted_model(failing_second):
        assert desk.run() == 1
    (run,) = desk.runs(capsys, "--state", "failed")
    assert "not today" in run["last_error"]
    asked: list[Any] = []

    def answer(agent: str, payload: Any) -> str:
        asked.append(payload)
        return "two"

    with scripted_model(answer):
        resume = ["workflows", "resume", run["workflow_id"], desk.file, "--store", desk.store]
        assert main([*resume, "--json"]) == 0
    assert asked == [{"after": "one"}]
    assert json.loads(capsys.readouterr().out)["second"] == "two"
    assert [r["state"] for r in desk.runs(capsys)] == ["completed"]


def test_a_step_and_what_depends_on_it_is_run_again(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted_model(lambda agent, payload: "old"):
        assert desk.run() == 0
    (run,) = desk.runs(capsys)
    retry = ["workflows", "retry", run["workflow_id"], "second", desk.file, "--store", desk.store]
    with scripted_model(lambda agent, payload: "new"):
        assert main([*retry, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"first": "old", "second": "new"}
    retry[3] = "secnd"
    assert main(retry) == 2
    assert "Did you mean 'second'" in capsys.readouterr().err


def test_a_run_is_forked_with_another_outcome_and_queried(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted_model(lambda agent, payload: "old"):
        assert desk.run() == 0
    (run,) = desk.runs(capsys)
    fork = ["workflows", "fork", run["workflow_id"], "second", desk.file, "--store", desk.store]
    with scripted_model(lambda agent, payload: payload["after"]):
        assert main([*fork, "--edit", '{"first": "edited"}', "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"first": "edited", "second": "edited"}
    forked = next(r for r in desk.runs(capsys) if r["workflow_id"] != run["workflow_id"])
    assert desk.command("show", forked["workflow_id"]) == 0
    assert f"forked from: {run['workflow_id']}" in capsys.readouterr().out
    assert desk.command("query", forked["workflow_id"]) == 0
    assert capsys.readouterr().out == "null\n"
    for edit, said in (("{bad", "is not JSON"), ("[1]", "a JSON object"), ('{"x": 1}', "no such")):
        assert main([*fork, "--edit", edit]) == 2
        assert said in capsys.readouterr().err


def test_an_approval_that_came_too_late_counts_when_the_run_is_resumed(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.write([STEPS[0], {"id": "approval", "wait_for": {"signal": "ok", "timeout_seconds": 0.2}}])
    assert desk.run() == 1
    (run,) = desk.runs(capsys, "--state", "failed")
    signal = ["signal", run["workflow_id"], "ok", "--payload"]
    assert desk.command(*signal, "{bad") == 2
    assert "it is not JSON" in capsys.readouterr().err
    assert desk.command(*signal, '{"by": "Ann"}') == 0
    capsys.readouterr()
    resume = ["workflows", "resume", run["workflow_id"], desk.file, "--store", desk.store]
    assert main([*resume, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["approval"] == {"by": "Ann"}


def test_a_run_that_has_ended_stays_as_it_is(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.run() == 0
    (run,) = desk.runs(capsys)
    assert desk.command("cancel", run["workflow_id"], "--reason", "enough") == 0
    assert "had ended already: completed" in capsys.readouterr().out
    assert desk.runs(capsys)[0]["state"] == "completed"
    resume = ["workflows", "resume", run["workflow_id"], desk.file, "--store", desk.store]
    assert main([*resume, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"first", "second"}


def test_a_misspelt_signal_is_told_with_the_one_that_is_waited_for(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = {"name": "w", "steps": [{"id": "ask", "wait_for": {"signal": "approve"}}]}

    async def parked() -> str:
        async with OrchestrationEngine(EngineConfig(state_store=desk.store)) as engine:
            run = await engine.start_workflow(flow, {}, persist_state=True)
            while (await engine.get_workflow_status(run)).state != "waiting":
                await asyncio.sleep(0)
        return run

    run = asyncio.run(parked())
    assert desk.command("signal", run, "aprove") == 2
    said = capsys.readouterr()
    assert "does not wait for the signal 'aprove'. Did you mean 'approve'?" in said.err
    assert said.out == ""
    assert desk.command("signal", run, "later", "--early") == 0
    assert desk.command("signal", run, "approve") == 0


def test_a_signal_is_told_as_json_too(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write([{"id": "approval", "wait_for": {"signal": "ok", "timeout_seconds": 0.1}}])
    assert desk.run() == 1
    (run,) = desk.runs(capsys)
    assert desk.command("signal", run["workflow_id"], "ok", "--payload", "[1]", "--json") == 0
    told = {"workflow_id": run["workflow_id"], "signal": "ok", "payload": [1]}
    assert json.loads(capsys.readouterr().out) == told


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX's")
def test_a_run_whose_process_was_killed_is_cancelled_with_its_project(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hang.py").write_text(
        "import asyncio\n"
        "async def work(payload):\n"
        "    print('working', flush=True)\n"
        "    await asyncio.Event().wait()\n",
        encoding="utf-8",
    )
    project = yaml.safe_load(Path(desk.file).read_text("utf-8"))
    project["agents"] = {"worker": {"handler": "hang:work"}}
    Path(desk.file).write_text(yaml.safe_dump(project), encoding="utf-8")
    command = [sys.executable, "-m", "agenticaiframework", "run", desk.file, "-i", "n:=1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        assert running.stdout is not None
        while "working" not in running.stdout.readline():
            assert running.poll() is None
        running.kill()
    (run,) = desk.runs(capsys)
    cancel = ["cancel", run["workflow_id"], "--reason", "enough"]
    assert desk.command(*cancel, "--project", desk.file) == 0
    (run,) = desk.runs(capsys)
    assert (run["state"], run["reason"]) == ("cancelled", "enough")


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX's")
def test_a_run_whose_process_was_killed_is_cancelled_without_its_project(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hang.py").write_text(
        "import asyncio\n"
        "async def book(payload):\n"
        "    return 'booked'\n"
        "async def work(payload):\n"
        "    print('working', flush=True)\n"
        "    await asyncio.Event().wait()\n",
        encoding="utf-8",
    )
    desk.write(
        [
            {"id": "first", "agent": "clerk", "compensate": "clerk"},
            {"id": "second", "agent": "worker", "depends_on": ["first"]},
        ]
    )
    project = yaml.safe_load(Path(desk.file).read_text("utf-8"))
    project["agents"] = {"worker": {"handler": "hang:work"}, "clerk": {"handler": "hang:book"}}
    Path(desk.file).write_text(yaml.safe_dump(project), encoding="utf-8")
    command = [sys.executable, "-m", "agenticaiframework", "run", desk.file, "-i", "n:=1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        assert running.stdout is not None
        while "working" not in running.stdout.readline():
            assert running.poll() is None
        running.kill()
    (run,) = desk.runs(capsys)
    assert desk.command("show", run["workflow_id"]) == 0
    assert "\nengine: " in capsys.readouterr().out
    assert desk.command("cancel", run["workflow_id"]) == 0
    assert "not undone: first" in capsys.readouterr().out
    (run,) = desk.runs(capsys)
    assert run["state"] == "cancelled"


def test_many_runs_are_cancelled_resumed_and_forgotten(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted_model(failing_second):
        assert [desk.run() for _ in range(3)] == [1, 1, 1]
    assert desk.command("cancel", "--state", "waiting", "--name", "small", "--yes") == 0
    assert "0 runs" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert desk.command("purge", "--state", "failed") == 2
    assert "Forget 3 runs? Say so with --yes." in capsys.readouterr().err
    with scripted_model(lambda agent, payload: "two"):
        resume = ["resume", desk.file, "--name", "small", "--yes", "--json"]
        assert desk.command(*resume) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == {"matched": 3, "done": 3, "unchanged": 0, "failed": {}}
    assert [run["state"] for run in desk.runs(capsys)] == ["completed"] * 3
    assert desk.runs(capsys, "--created-before", "1d") == []
    assert desk.runs(capsys, "--finished-after", "2999-01-01") == []
    assert len(desk.runs(capsys, "--created-after", "1d")) == 3
    assert desk.command("purge", "--finished-after", "1d", "--yes") == 0
    assert "3 runs: 3 forgotten" in capsys.readouterr().out
    assert desk.runs(capsys) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cancel"], "Say which runs"),
        (["cancel", "wf_1", "--state", "waiting"], "not both"),
        (["purge"], "Say which runs"),
        (["resume", "project.yaml"], "Say which runs"),
        (["resume", "wf_1", "project.yaml", "--state", "failed"], "not both"),
        (["purge", "--finished-before", "soon"], "12h"),
        (["list", "--label", "tenant"], "key=value"),
    ],
)
def test_a_selection_that_says_nothing_is_refused(
    arguments: list[str], said: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(desk.store.removeprefix("sqlite:///")).touch()
    assert desk.command(*arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "wf_none"], "There is no workflow 'wf_none'"),
        (["cancel", "wf_none"], "There is no workflow 'wf_none'"),
        (["list", "--state", "done"], "completed"),
        (["list", "--limit", "0"], "--limit=0"),
        (["list", "--page", "two"], "--page='two'"),
    ],
)
def test_what_is_not_there_is_told(
    arguments: list[str], said: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(desk.store.removeprefix("sqlite:///")).touch()
    assert desk.command(*arguments) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_an_empty_store_has_no_runs(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs.sqlite").touch()
    assert desk.command("list") == 0
    assert capsys.readouterr().out == "No runs.\n"
    assert desk.runs(capsys) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["list", "--json"],
        ["show", "wf_1"],
        ["cancel", "wf_1"],
        ["cancel", "wf_1", "--project", "FILE"],
        ["signal", "wf_1", "go"],
        ["resume", "wf_1", "FILE"],
        ["retry", "wf_1", "first", "FILE"],
        ["fork", "wf_1", "first", "FILE"],
        ["query", "wf_1"],
    ],
)
def test_a_store_that_is_not_there_is_told_and_not_made(
    arguments: list[str], desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    arguments = [desk.file if each == "FILE" else each for each in arguments]
    assert desk.command(*arguments) == 2
    told = capsys.readouterr()
    assert f"There is no store {desk.store}" in told.err
    assert told.out == ""
    assert sorted(tmp_path.iterdir()) == before


def test_where_nothing_has_been_stored_there_are_no_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["workflows", "list"]) == 0
    assert capsys.readouterr().out == "No runs.\n"
    assert main(["workflows", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"workflows": [], "next": None}
    assert main(["workflows", "show", "wf_1"]) == 2
    assert "There is no store" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


WAITING: list[dict[str, Any]] = [
    {"id": "first", "agent": "worker", "input": {"n": "$input.n"}},
    {"id": "wait", "wait_for": {"signal": "go"}},
]


def test_a_run_that_a_deploy_has_blocked_is_shown_signalled_and_resumed(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(definition: dict[str, Any]) -> str:
        async def begin() -> str:
            async with _engine(desk, definition) as engine:
                return await engine.start_workflow("small", {"n": 1}, persist_state=True)

        return asyncio.run(begin())

    def deploy(definition: dict[str, Any]) -> None:
        async def recover() -> None:
            async with _engine(desk, definition) as engine:
                await engine.recover()

        asyncio.run(recover())

    desk.write(WAITING)
    run_id = start({"name": "small", "steps": WAITING})
    deploy({"name": "small", "steps": [*WAITING, {"id": "last", "agent": "worker"}]})
    (run,) = desk.runs(capsys, "--state", "blocked")
    assert "step 'last' is new" in run["last_error"]
    assert desk.command("show", run_id) == 0
    assert "blocked: the definition of 'small' has changed" in capsys.readouterr().out
    assert desk.command("signal", run_id, "go", "--payload", '"yes"') == 0
    assert "it is blocked: the definition" in capsys.readouterr().out
    assert desk.command("signal", run_id, "go", "--json") == 0
    assert "step 'last' is new" in json.loads(capsys.readouterr().out)["blocked"]

    desk.write([*WAITING, {"id": "last", "agent": "worker"}])
    assert desk.command("resume", run_id, desk.file) == 2
    assert "--definition old" in capsys.readouterr().err
    with scripted_model(lambda agent, payload: "done"):
        assert desk.command("resume", run_id, desk.file, "--definition", "new") == 0
    capsys.readouterr()
    assert desk.command("show", run_id) == 0
    shown = capsys.readouterr().out
    assert "completed  100%" in shown
    assert "taken over: once" in shown


def _engine(desk: Desk, definition: dict[str, Any]) -> OrchestrationEngine:
    async def worker(payload: Any) -> Any:
        return payload

    engine = OrchestrationEngine(EngineConfig(state_store=desk.store))
    engine.register_agent("worker", worker)
    engine.register_workflow("small", definition)
    return engine


@pytest.mark.parametrize("age", ["99999999d", f"{'9' * 5000}d"])
def test_an_age_before_all_dates_is_refused(
    age: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["workflows", "list", "--created-after", age]) == 2
    assert "an age: 90s, 12h, 7d" in capsys.readouterr().err
