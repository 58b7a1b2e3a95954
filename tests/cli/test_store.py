"""`agenticaiframework store`: a store set up, checked, counted and purged."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agenticaiframework.actors import ActorSystem
from agenticaiframework.cli.main import main
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine


def echo(payload: object) -> object:
    return payload


def run_three(url: str) -> None:
    async def work() -> None:
        engine = OrchestrationEngine(EngineConfig(state_store=url))
        engine.register_agent("echo", echo)
        workflow = {"name": "w", "steps": [{"id": "a", "agent": "echo"}]}
        async with ActorSystem(), engine:
            for n in range(3):
                await engine.execute(workflow, {"n": n}, persist_state=True)

    asyncio.run(work())


def test_a_store_is_set_up_checked_counted_and_purged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "jobs.db"
    url = f"sqlite:///{file}"

    def said(*tokens: str, code: int = 0) -> str:
        assert main(["store", *tokens, "--store", url]) == code
        return capsys.readouterr().out

    assert main(["store", "check", "--store", url]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert not file.exists()
    assert "Made: version" in said("migrate")
    assert "Up to date" in said("migrate")
    assert said("check") == "Ready.\n"
    run_three(url)
    told = said("info")
    assert "runs: 3 completed" in told
    assert "gone, 0 runs" in told
    assert main(["store", "purge", "--store", url]) == 2
    assert "--keep" in capsys.readouterr().err
    assert said("purge", "--keep", "1", "--state", "completed") == "2 runs forgotten.\n"
    assert main(["store", "purge", "--keep", "1", "--state", "complete", "--store", url]) == 2
    assert "--state complete" in capsys.readouterr().err
    assert json.loads(said("info", "--json"))["runs"] == {"completed": 1}
    assert json.loads(said("check", "--json")) == {"ready": True, "problems": []}


def test_a_store_with_a_relative_path_is_checked_counted_and_purged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    url = "sqlite:///jobs.db"
    assert main(["store", "migrate", "--store", url]) == 0
    run_three(url)
    capsys.readouterr()
    for command, told in (
        (["check"], "Ready."),
        (["info"], "runs: 3 completed"),
        (["purge", "--keep", "9" * 30], "0 runs forgotten."),
        (["purge", "--keep", "1"], "2 runs forgotten."),
    ):
        assert main(["store", *command, "--store", url]) == 0
        assert told in capsys.readouterr().out


def test_the_sql_sets_a_store_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sqlite3

    file = tmp_path / "jobs.db"
    assert main(["store", "sql", "--store", f"sqlite:///{file}"]) == 0
    with sqlite3.connect(file) as connection:
        connection.executescript(capsys.readouterr().out)
    connection.close()
    assert main(["store", "check", "--store", f"sqlite:///{file}"]) == 0
    run_three(f"sqlite:///{file}")


def test_the_environment_names_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTICAI_STORE", f"sqlite:///{tmp_path}/env.db")
    assert main(["store", "migrate"]) == 0
    assert (tmp_path / "env.db").exists()
    assert main(["workflows", "list"]) == 0
    assert "No runs." in capsys.readouterr().out
