"""Schedules seen and steered by the command, and those of a project file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cyclopts")
yaml = pytest.importorskip("yaml")
pytest.importorskip("cronsim")

from agenticaiframework.actors import ActorSystem
from agenticaiframework.cli import main
from agenticaiframework.cli.project import load_project
from agenticaiframework.cli.project.build import build_from_file
from agenticaiframework.cli.serve import _make_schedules
from agenticaiframework.patterns import DefinitionError
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine

REPORT = {"name": "report", "steps": [{"id": "write", "agent": "writer"}]}


class Desk:
    """A store with two schedules, of a service that is not running."""

    def __init__(self, folder: Path) -> None:
        self.store = f"sqlite:///{folder}/runs.sqlite"
        asyncio.run(self.serve())

    def engine(self) -> OrchestrationEngine:
        engine = OrchestrationEngine(EngineConfig(state_store=self.store, persist_state=True))
        engine.register_agent("writer", lambda payload: payload)
        engine.register_workflow("report", REPORT)
        return engine

    async def serve(self, run_id: str | None = None) -> Any:
        """Be the service for a moment: until a run has ended, if one is given."""
        async with ActorSystem(), self.engine() as engine:
            await engine.schedule(
                "nightly", "report", {"day": "$schedule.date"},
                cron="0 3 * * 1-5", timezone="Europe/Berlin",
            )  # fmt: skip
            await engine.schedule("rare", "report", every_s=1e9)
            if run_id is None:
                return None
            async with asyncio.timeout(120):
                while not (await engine.list_workflows(labels={"schedule": "nightly"})).workflows:
                    await asyncio.sleep(0.02)
                return await engine.wait(run_id)

    def command(self, *arguments: str) -> int:
        return main(["workflows", "schedules", *arguments, "--store", self.store])

    def told(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
        capsys.readouterr()
        assert self.command(*arguments, "--json") == 0
        return json.loads(capsys.readouterr().out)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_schedules_are_listed_with_the_last_time_and_the_next(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.command("list") == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:5] == ["name", "workflow", "when", "last", "next"]
    assert lines[1][:4] == ["nightly", "report", "0 3 * * 1-5 Europe/Berlin", ""]
    assert lines[2][:3] == ["rare", "report", "every 1e+09 s"]
    assert [each["name"] for each in desk.told(capsys, "list")["schedules"]] == ["nightly", "rare"]


def test_one_is_paused_resumed_triggered_and_deleted_beside_the_service(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.command("pause", "nightly", "--reason", "no disk") == 0
    assert capsys.readouterr().out == "nightly is paused: no disk\n"
    assert desk.told(capsys, "list")["schedules"][0]["reason"] == "no disk"
    assert desk.command("list") == 0
    assert "\tpaused\t" in capsys.readouterr().out
    run_id = desk.told(capsys, "trigger", "nightly")["workflow_id"]
    assert run_id.startswith("nightly@")
    assert list(asyncio.run(desk.serve(run_id))) == ["write"]
    shown = desk.told(capsys, "show", "nightly")
    assert (shown["paused"], shown["counts"]["fired"]) == (True, 1)
    assert [run["workflow_id"] for run in shown["runs"]] == [run_id]
    assert desk.command("resume", "nightly") == 0
    assert capsys.readouterr().out.startswith("nightly goes on; next: ")
    assert desk.command("show", "nightly") == 0
    out = capsys.readouterr().out
    assert "nightly  report  0 3 * * 1-5 Europe/Berlin" in out
    assert "starts: 1 fired" in out
    assert run_id in out
    assert desk.command("delete", "nightly") == 0
    assert [each["name"] for each in desk.told(capsys, "list")["schedules"]] == ["rare"]


def test_a_name_that_there_is_not_is_told_with_the_near_one(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("pause", "resume", "trigger", "delete", "show"):
        assert desk.command(command, "nightli") == 2
        err = capsys.readouterr().err
        assert "There is no schedule 'nightli'. Did you mean 'nightly'?" in err
        assert "agenticaiframework workflows schedules list" in err


def test_without_a_store_there_are_no_schedules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["workflows", "schedules", "list"]) == 0
    assert capsys.readouterr().out == "No schedules.\n"
    assert list(tmp_path.iterdir()) == []


def project(folder: Path, schedules: Any) -> Path:
    data = {
        "agents": {"writer": {"model": "scripted"}},
        "engine": {"state_store": f"sqlite:///{folder}/runs.sqlite", "persist_state": True},
        "workflow": REPORT,
        "schedules": schedules,
    }
    file = folder / "project.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    return file


def test_a_project_file_has_schedules_that_its_server_makes(tmp_path: Path) -> None:
    file = project(
        tmp_path,
        {
            "nightly": {
                "cron": "0 3 * * *",
                "timezone": "Europe/Berlin",
                "input": "$schedule.date",
            },
            "poll": {"every_s": 60, "missed": "all", "overlap": "queue"},
        },
    )

    async def serve() -> list[tuple[str, str, str, str]]:
        made = build_from_file(load_project(file), file)
        made.engine.register_workflow(made.definition.workflow)
        async with ActorSystem(), made.engine:
            await _make_schedules(made)
            return [
                (each.name, each.when, each.workflow, each.missed)
                for each in await made.engine.schedules()
            ]

    assert asyncio.run(serve()) == [
        ("nightly", "0 3 * * * Europe/Berlin", "report", "latest"),
        ("poll", "every 60 s", "report", "all"),
    ]


@pytest.mark.parametrize(
    ("schedules", "said"),
    [
        ({"poll": {"every_s": 0}}, "schedules.poll.every_s: input should be greater than 0"),
        ({"poll": {}}, "schedules.poll: it says nothing of when it is due"),
        ({"poll": {"every_s": 5, "crom": "x"}}, "schedules.poll: unknown field 'crom'"),
        ({"a~b": {"every_s": 5}}, "schedules.a~b: name: 'a~b'"),
        ({"p": {"cron": "x"}}, "schedules.p: cron='x' cannot be read"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_told_with_its_place_in_the_file(
    tmp_path: Path, schedules: Any, said: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        load_project(project(tmp_path, schedules))
    assert said in str(caught.value)
