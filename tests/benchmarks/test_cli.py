"""The command line, with real floors in real processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import benchmarks
from benchmarks.catalog import system_named
from benchmarks.cli import chosen_systems, chosen_workloads, main
from benchmarks.environments import environment, executable, interpreter
from benchmarks.postgres import SERVER
from benchmarks.workloads import WORKLOADS


def test_a_run_prints_a_table_and_writes_json_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_file, svg_file = tmp_path / "new" / "run.json", tmp_path / "run.svg"
    arguments = ["kernel", "--smoke", "--only", "counting", "--rounds", "2"]
    arguments += ["--systems", "floor-call,floor-queue"]
    arguments += ["--json", str(json_file), "--svg", str(svg_file)]
    code = main(arguments)
    assert code == 0
    printed = capsys.readouterr().out
    assert "kernel / counting" in printed
    assert "floor-queue" in printed
    content = json.loads(json_file.read_text(encoding="utf-8"))
    assert len(content["samples"]) == 4
    assert all(sample["figures"]["per_s"] > 0 for sample in content["samples"])
    assert content["machine"]["cores"] == str(len(os.sched_getaffinity(0)))
    ElementTree.parse(svg_file)


def test_this_project_answers_every_workload_of_the_kernel(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = [workload.name for workload in WORKLOADS if workload.suite == "kernel"]
    only = [argument for name in names for argument in ("--only", name)]
    assert main(["kernel", "--smoke", "--systems", "ours", *only]) == 0
    printed = capsys.readouterr().out
    assert "failed" not in printed
    assert printed.count("kernel / ") == len(names)


def test_a_missing_peer_does_not_fail_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--smoke", "--only", "counting", "--systems", "floor-call,pykka"])
    assert code == 0
    assert (
        "pykka: not installed; python -m benchmarks peers install pykka" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "countin"], "no workload 'countin'. Perhaps: counting"),
        (["--systems", "langraph"], "no system 'langraph'. Perhaps: langgraph"),
        (["--python", "/nowhere/python"], "'/nowhere/python' is not a Python that runs"),
        (["peers", "install", "kasty"], "no system 'kasty'. Perhaps: casty"),
    ],
)
def test_a_wrong_argument_is_answered_before_anything_runs(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_no_rounds_is_no_choice() -> None:
    with pytest.raises(SystemExit):
        main(["--rounds", "0"])


def test_a_suite_is_chosen_by_its_name_and_all_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SERVER, "postgresql://somewhere")
    assert {workload.suite for workload in chosen_workloads("engine", [])} == {"engine"}
    assert chosen_workloads("all", []) == list(WORKLOADS)
    assert [workload.name for workload in chosen_workloads("kernel", ["ring"])] == ["ring"]


def test_what_needs_a_server_is_left_out_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SERVER, raising=False)
    left_out = set(WORKLOADS) - set(chosen_workloads("all", []))
    assert {workload.name for workload in left_out} == {"postgres", "postgres-100"}
    assert chosen_workloads("engine", ["postgres"])


def test_a_smoke_run_leaves_peers_out_unless_they_are_named() -> None:
    workloads = chosen_workloads("kernel", [])
    assert all(system.kind != "peer" for system in chosen_systems(workloads, None, smoke=True))
    assert any(system.kind == "peer" for system in chosen_systems(workloads, None, smoke=False))
    named = chosen_systems(workloads, "pykka", smoke=True)
    assert [system.name for system in named] == ["pykka"]


def test_each_peer_has_an_environment_for_each_python(benchmarks_home: Path) -> None:
    here = interpreter(sys.executable)
    pykka = system_named("pykka")
    assert here.tag == f"cpython-{sys.version_info[0]}.{sys.version_info[1]}"
    assert environment(pykka, here) == benchmarks_home / "peers" / f"pykka-{here.tag}"
    assert executable(pykka, here).startswith(str(environment(pykka, here)))
    assert executable(system_named("floor-call"), here) == sys.executable


def test_removing_an_environment_takes_only_that(
    benchmarks_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = interpreter(sys.executable)
    mine, other = (environment(system_named(name), here) for name in ("pykka", "casty"))
    mine.mkdir(parents=True)
    other.mkdir(parents=True)
    assert main(["peers", "remove", "pykka"]) == 0
    assert "removed" in capsys.readouterr().out
    assert not mine.exists()
    assert other.exists()
    assert main(["peers", "remove", "pykka"]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_the_package_runs_as_a_module() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"],
        cwd=Path(benchmarks.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "--smoke" in said.stdout


@pytest.mark.skipif(shutil.which("erl") is None, reason="Erlang is not installed")
def test_erlang_answers_every_workload_it_offers(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["counting", "ping-pong", "ring", "fork-join", "big", "crash-restart", "tree"]
    only = [argument for name in names for argument in ("--only", name)]
    main(["all", "--smoke", "--systems", "otp-1", *only])
    printed = capsys.readouterr().out
    assert "failed" not in printed
    assert printed.count("\notp-1  ") == len(names)
