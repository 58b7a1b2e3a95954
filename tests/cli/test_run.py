"""The command, from its arguments to what it prints and its exit code."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cyclopts")
yaml = pytest.importorskip("yaml")

from agenticaiframework.cli import main
from agenticaiframework.testing import scripted_model

ROOT = Path(__file__).parents[2]
RESEARCH = str(ROOT / "examples" / "research.yaml")
QUERY = ["--input", "query=Why do rivers bend?"]


def project(tmp_path: Path, handlers: str, **changes: Any) -> str:
    """Write a project of one agent, `worker`, whose handler is ``work`` in *handlers*."""
    module = f"handlers_of_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(handlers, encoding="utf-8")
    data = {
        "agents": {"worker": {"handler": f"{module}:work"}},
        "supervisors": {"top": {"children": ["worker"]}},
        "workflow": {
            "name": "small",
            "steps": [{"id": "only", "agent": "worker", "input": {"n": "$input.n"}}],
        },
        **changes,
    }
    path = tmp_path / "project.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return str(path)


def test_the_research_example_runs_and_prints_the_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", RESEARCH, *QUERY, "--model", "scripted"]) == 0
    said = capsys.readouterr()
    lines = [line[10:] for line in said.err.splitlines() if line[:8].strip().endswith("s")]
    assert lines[0].startswith("run: wf_")
    assert lines[1] == "classify: classifier at work"
    assert lines[-2] == "review: done"
    assert lines[-1].startswith("run: spent ")
    assert "research > analyze: Analyst at work" in lines
    # Standard output has the report and nothing else: its facts, each with the page that says it.
    first, *facts = said.out.splitlines()
    assert first == "What the pages say:"
    assert all(re.fullmatch(r"- .+ \[rivers \d+\]", fact) for fact in facts[:6])
    assert "builds a point bar" in said.out


def test_the_crash_is_seen_to_be_mended(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", RESEARCH, *QUERY, "--model", "scripted", "--crash", "researcher@2"]) == 0
    out = capsys.readouterr().err
    order = [
        "research > fill_gaps: Researcher at work",
        "supervisor: researcher ended: InjectedCrash",
        "supervisor: researcher is back (incarnation 2)",
        "research > fill_gaps: Researcher at work (attempt 2)",
        "research > fill_gaps: completed",
        "review: done",
    ]
    places = [out.find(part) for part in order]
    assert -1 not in places, out
    assert places == sorted(places), out


def test_json_is_alone_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", RESEARCH, *QUERY, "--model", "scripted", "--json"]) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert set(result) == {"classify", "research", "review"}
    assert "builds a point bar" in str(result["review"])
    assert "review: done" in said.err


NOISY = """
import os, subprocess, sys

print("at import")


def work(payload):
    print("of the handler")
    subprocess.run([sys.executable, "-c", "print('of a child')"], check=True)
    os.write(1, b"of a library in C\\n")
    return payload["n"]
"""


@pytest.mark.parametrize("arguments", [["run", "--json"], ["run"], ["check", "--json"]])
def test_what_handlers_print_is_not_in_what_a_pipe_gets(
    tmp_path: Path, arguments: list[str]
) -> None:
    file = project(tmp_path, NOISY)
    given = ["--input", "n:=7"] if arguments[0] == "run" else []
    command = [sys.executable, "-m", "agenticaiframework", arguments[0], file, *arguments[1:]]
    done = subprocess.run(
        [*command, *given], capture_output=True, text=True, timeout=120, check=True
    )
    printed = json.loads(done.stdout)
    if arguments[0] == "run":
        assert printed == ({"only": 7} if len(arguments) > 1 else 7)
        for said in ("at import", "of the handler", "of a child", "of a library in C"):
            assert said in done.stderr


def test_a_reader_that_has_had_enough_and_a_missing_output_end_it_without_a_traceback(
    tmp_path: Path,
) -> None:
    file = project(tmp_path, "def work(payload):\n    return 'x' * 1_000_000\n")
    for end in ("| head -c 1", ">&-"):
        command = f"{sys.executable} -m agenticaiframework run {file} --input n:=7 {end}"
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=120, check=False
        )
        assert "Traceback" not in done.stderr
        assert "Error" not in done.stderr


def test_what_no_page_says_is_left_out_and_an_unknown_subject_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", RESEARCH, "-i", "query=Why do rivers bend?", "--model", "scripted"]) == 0
    out = capsys.readouterr().out
    assert "[rivers 1]" in out
    assert "of the draft" in out
    assert "[Writer]" not in out
    assert main(["run", RESEARCH, "-i", "query=Who was Ada?", "--model", "scripted"]) == 0
    said = "The pages say nothing about that. They are about: healthcare, rivers, sleep.\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("arguments", "form"),
    [
        (["--input", "query=Why", "do", "rivers", "bend?"], '--input query="Why do rivers bend?"'),
        (["Why", "do", "rivers", "bend?"], '--input query="Why do rivers bend?"'),
        (["--input", "query=x", "--model", "scripted", "now"], '--input query="now"'),
    ],
)
def test_a_question_without_quotes_gets_the_form_with_them(
    arguments: list[str], form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", RESEARCH, *arguments]) == 2
    assert form in capsys.readouterr().err


def test_a_crash_that_never_happens_is_told_and_not_a_success(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main(["run", RESEARCH, *QUERY, "--model", "scripted", "--crash", "writer@9"])
    assert code == 3
    assert "--crash writer@9 never happened: 'writer' got 1 message" in capsys.readouterr().err


def test_a_failing_workflow_says_where_and_why_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project(tmp_path, "async def work(payload):\n    return 1 / payload['n']\n")
    assert main(["run", file, "--input", "n:=0"]) == 1
    err = capsys.readouterr().err
    assert "'small'" in err
    assert "'only'" in err
    assert "ZeroDivisionError" in err
    assert "Traceback" not in err


def test_a_blocking_handler_runs_and_its_crash_is_retried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = {"id": "only", "agent": "worker", "input": {"n": "$input.n"}, "retry": 2}
    file = project(
        tmp_path,
        "def work(payload):\n    return {'twice': payload['n'] * 2}\n",
        workflow={"name": "small", "steps": [step]},
    )
    assert main(["run", file, "--input", "n:=4", "--crash", "worker@1", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {"only": {"twice": 8}}
    assert "worker is back (incarnation 2)" in said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", RESEARCH], ["'query' is missing", "--input query=..."]),
        (["run", RESEARCH, "--input", "query"], ["--input query:", "Forms that work"]),
        (["run", RESEARCH, *QUERY, "--crash", "writr@1"], ["Did you mean 'writer'?"]),
        (["run", RESEARCH, *QUERY, "--model", "gpt5x"], ["Unknown model 'gpt5x'"]),
        (["run", RESEARCH, *QUERY, "--modle", "x"], ["--modle", "--model"]),
        (["run", "none.yaml"], ["none.yaml", "cannot be read"]),
        (["check", "none.yaml"], ["none.yaml"]),
        (["run"], ["FILE", "--help"]),
        (["runn"], ["runn"]),
    ],
)
def test_bad_input_ends_with_2_before_any_agent_runs(
    arguments: list[str], said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    with scripted_model(lambda agent, payload: asked.append(agent)):
        assert main(arguments) == 2
    captured = capsys.readouterr()
    for part in said:
        assert part in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert asked == []


def test_a_hosted_model_without_its_key_is_found_out_before_anything_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pydantic_ai")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main(["run", RESEARCH, *QUERY, "--model", "openai:gpt-4o-mini"]) == 2
    said = capsys.readouterr()
    assert "OPENAI_API_KEY" in said.err
    assert "--model scripted" in said.err
    assert said.out == ""


def test_a_missing_local_model_offers_the_scripted_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import metadata

    def nothing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", nothing)
    assert main(["run", RESEARCH, *QUERY]) == 2
    assert "--model scripted" in capsys.readouterr().err


def test_check_says_what_is_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", RESEARCH]) == 0
    assert "agents: classifier, researcher, analyst, writer, reviewer" in capsys.readouterr().out
    assert main(["check", RESEARCH, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == ["classify", "research", "review"]
    file = project(tmp_path, "async def other(payload):\n    return 1\n")
    assert main(["check", file]) == 2
    assert "agents.worker.handler" in capsys.readouterr().err


def test_a_graph_is_drawn_as_mermaid_and_as_svg(capsys: pytest.CaptureFixture[str]) -> None:
    from xml.etree import ElementTree

    assert main(["graph", RESEARCH]) == 0
    assert capsys.readouterr().out.startswith("flowchart TD\n")
    assert main(["graph", RESEARCH, "--format", "svg"]) == 0
    drawing = ElementTree.fromstring(capsys.readouterr().out)
    names = {"svg": "http://www.w3.org/2000/svg"}
    assert len(drawing.findall("svg:rect", names)) == 3
    arrows = [p for p in drawing.findall("svg:path", names) if p.get("marker-end")]
    assert len(arrows) == 3  # two between the steps, and the loop of the review
    assert "until approved, 2 times at most" in [t.text for t in drawing.findall("svg:text", names)]


def test_what_the_output_cannot_encode_is_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project(
        tmp_path, "async def work(payload):\n    return {'said': 'h\\xe4 \\U0001f600'}\n"
    )
    for options in ([], ["--json"]):
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
        assert main(["run", file, "-i", "n:=1", *options]) == 0
        sys.stdout.flush()
        printed = raw.getvalue().decode("ascii")
        assert "h\\u00e4 \\ud83d\\ude00" in printed
        if options:
            assert json.loads(printed) == {"only": {"said": "h\xe4 \U0001f600"}}


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])  # the second: the locale C
def test_half_of_a_pair_of_surrogates_is_escaped(
    errors: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project(tmp_path, "async def work(payload):\n    return {'said': '\\ud800'}\n")
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8", errors=errors))
    assert main(["run", file, "-i", "n:=1", "--json"]) == 0
    sys.stdout.flush()
    assert json.loads(raw.getvalue()) == {"only": {"said": "\ud800"}}


def test_a_graph_is_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    for format in ("mermaid", "svg"):
        assert main(["graph", RESEARCH, "--format", format]) == 0
        drawn = capsys.readouterr().out
        assert main(["graph", RESEARCH, "--format", format, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told == {"workflow": "comprehensive_research", format: drawn}


def test_a_workflow_alone_is_checked_and_drawn_but_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "flow.yaml"
    flow = {"name": "flow", "steps": [{"id": "a", "agent": "x"}, {"id": "b", "agent": "y"}]}
    file.write_text(yaml.safe_dump(flow), encoding="utf-8")
    assert main(["check", str(file)]) == 0
    assert "steps: a, b" in capsys.readouterr().out
    assert main(["graph", str(file)]) == 0
    assert "s0 --> s1" in capsys.readouterr().out
    assert main(["run", str(file)]) == 2
    assert 'put it under "workflow"' in capsys.readouterr().err
    flow["steps"][1]["input"] = "$c"  # type: ignore[index]
    file.write_text(yaml.safe_dump(flow), encoding="utf-8")
    for command in ("check", "graph"):
        assert main([command, str(file)]) == 2
        told = capsys.readouterr().err
        assert str(file) in told
        assert "'c', which is not a step" in told


def test_check_looks_up_what_only_the_engine_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = {"id": "a", "agent": "worker", "on_error": {"fallback": "wroker"}}
    file = project(
        tmp_path,
        "async def work(payload):\n    return 1\n",
        workflow={"name": "w", "steps": [step]},
    )
    assert main(["check", file]) == 2
    assert "Did you mean 'worker'" in capsys.readouterr().err


def test_check_says_what_is_promised_and_not_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = {"id": "a", "agent": "worker", "for_each": "$input.items", "max_concurrency": 10}
    file = project(
        tmp_path,
        "async def work(payload):\n    return 1\n",
        workflow={"name": "w", "steps": [step]},
    )
    assert main(["check", file]) == 0
    assert "warning: workflow 'w' asks agent 'worker' up to 10 times" in capsys.readouterr().out
    assert main(["check", file, "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["warnings"]
    assert "handles 1 at a time" in said


def test_an_agent_of_a_project_may_handle_several_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = {"id": "a", "agent": "worker", "for_each": "$input.items", "max_concurrency": 10}
    module = f"handlers_of_{tmp_path.name.replace('-', '_')}"
    agents = {"worker": {"handler": f"{module}:work", "concurrency": 10}}
    file = project(
        tmp_path,
        "async def work(payload):\n    return 1\n",
        agents=agents,
        workflow={"name": "w", "steps": [step]},
    )
    assert main(["check", file]) == 0
    assert "warning" not in capsys.readouterr().out


def test_a_result_may_be_what_the_output_of_the_workflow_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [{"id": "a", "agent": "worker"}]
    for output, printed in (("$a.said", '"hm"'), ([1, "$a.n"], "[\n  1,\n  2\n]")):
        file = project(
            tmp_path,
            "async def work(payload):\n    return {'said': 'hm', 'n': 2}\n",
            workflow={"name": "w", "steps": steps, "output": output},
        )
        assert main(["run", file, "--json"]) == 0
        assert capsys.readouterr().out == f"{printed}\n"
        assert main(["run", file]) == 0
        assert capsys.readouterr().out == f"{printed.strip(chr(34))}\n"


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["schema"], ["schema", "--json"]):
        assert main(command) == 0
        assert "agents" in json.loads(capsys.readouterr().out)["properties"]


def test_a_terminal_gets_a_table_that_ends_with_every_step_done() -> None:
    rich_console = pytest.importorskip("rich.console")
    from agenticaiframework.cli.lines import Line
    from agenticaiframework.cli.progress import LiveProgress
    from agenticaiframework.patterns.engine import EventKind, WorkflowEvent

    out = io.StringIO()
    now = [0.0]
    console = rich_console.Console(file=out, force_terminal=True, width=90)
    progress = LiveProgress(lambda: now[0], console, {"one": "worker", "two": "writer"})
    with progress:
        for step in ("one", "two"):
            progress.workflow(WorkflowEvent(EventKind.STEP_STARTED, "w", step, 1))
            now[0] += 2.5
            progress.workflow(WorkflowEvent(EventKind.STEP_COMPLETED, "w", step, 1))
        progress.restarted("writer", 2)
        progress.note(Line("run", "a note"))
    last = out.getvalue().rpartition("restarts: 1")[2]
    assert last.count("done") == 2
    assert last.count("2.5 s") == 2
    assert "writer is back (incarnation 2)" in out.getvalue()
    assert "a note" in out.getvalue()


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_an_interrupt_stops_the_agents_in_order(tmp_path: Path) -> None:
    file = project(
        tmp_path,
        "import asyncio\n"
        "async def work(payload):\n"
        "    print('working', flush=True)\n"
        "    try:\n"
        "        await asyncio.Event().wait()\n"
        "    finally:\n"
        "        print('put down', flush=True)\n",
    )
    command = [sys.executable, "-m", "agenticaiframework", "run", file, "--input", "n:=1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        while "working" not in running.stderr.readline():
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=120)
    assert running.returncode == 130
    assert not out
    assert "put down" in err
    assert "everything has been stopped" in err
    assert "Traceback" not in err


def test_a_run_of_a_queue_waits_there_and_its_result_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = {"state_store": f"sqlite:///{tmp_path}/s.sqlite", "queues": ["gpu"]}
    file = project(tmp_path, "async def work(given): return given['n'] + 1", engine=engine)
    place = ["--queue", "gpu", "--key", "ada", "--priority", "2"]
    assert main(["run", file, "--input", "n:=1", *place]) == 0
    said = capsys.readouterr()
    assert said.out == "2\n"
    assert "workflow: waits in the queue gpu" in said.err
    assert said.err.count("run: wf_") == 1
    assert "no living engine" not in said.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--key", "ada"], "--queue NAME --key ada"),
        (["--priority", "1"], "--queue NAME --priority 1"),
        (["--queue", "gpu", "--no-persist"], "--queue is for a stored run"),
        (["--queue", " "], "non-empty text"),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    engine = {"state_store": f"sqlite:///{tmp_path}/s.sqlite"}
    file = project(tmp_path, "async def work(given): return 1", engine=engine)
    assert main(["run", file, "--input", "n:=1", *options]) == 2
    assert said in capsys.readouterr().err
