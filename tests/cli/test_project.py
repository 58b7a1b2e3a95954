"""Project files are checked as a whole, in the words of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")

from agenticaiframework.cli.project import load_project, project_schema
from agenticaiframework.cli.project.build import build_project
from agenticaiframework.cli.project.output import read_output
from agenticaiframework.patterns import DefinitionError

EXAMPLE = Path(__file__).parents[2] / "examples" / "research.yaml"


def project(**changes: Any) -> dict[str, Any]:
    """A small good project, with some parts replaced."""
    return {
        "agents": {
            "sorter": {"model": "scripted", "instructions": "Sort"},
            "writer": {"model": "scripted", "output": "draft"},
        },
        "supervisors": {"top": {"children": ["sorter", "writer"]}},
        "teams": {"desk": {"roles": {"writer": {"agents": "writer"}}}},
        "workflow": {
            "name": "w",
            "steps": [
                {"id": "sort", "agent": "sorter", "input": {"q": "$input.q"}},
                {"id": "write", "team": "desk", "workflow": [{"role": "writer", "action": "a"}]},
            ],
        },
        **changes,
    }


def load(tmp_path: Path, data: Any) -> Any:
    path = tmp_path / "project.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    return load_project(path)


def problems(tmp_path: Path, data: Any) -> str:
    with pytest.raises(DefinitionError) as caught:
        load(tmp_path, data)
    return str(caught.value)


def test_the_small_project_and_the_example_are_good(tmp_path: Path) -> None:
    assert list(load(tmp_path, project()).agents) == ["sorter", "writer"]
    example = load_project(EXAMPLE)
    assert example.roots == ("research_supervisor",)
    assert [step.id for step in example.workflow.steps] == ["classify", "research", "review"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"agent": {}}, ["unknown field 'agent'", "'agents'"]),
        ({"agents": {"a": {"modell": "scripted"}}}, ["agents.a", "'modell'", "'model'"]),
        (
            {"agents": {"a": {"model": "gpt5x"}}},
            ["agents.a.model", "'gpt5x'", "openai:gpt-4o-mini"],
        ),
        ({"agents": {"a": {}}}, ["agents.a", "a model", "a handler"]),
        ({"agents": {"a": {"handler": "nocolon"}}}, ["agents.a.handler", "my_agents:answer"]),
        ({"agents": {"a": {"model": "scripted", "output": {"c": "txt"}}}}, ["'txt'", "'text'"]),
        ({"agents": {"a": {"model": "scripted", "output": 3}}}, ["agents.a.output", "category"]),
        (
            {"supervisors": {"top": {"children": ["sortr"]}}},
            ["supervisors.top.children", "'sortr'", "'sorter'"],
        ),
        (
            {"supervisors": {"top": {"strategy": "one_for_al", "children": ["sorter"]}}},
            ["supervisors.top.strategy", "'one_for_al'", "'one_for_all'"],
        ),
        (
            {"supervisors": {"top": {"exhausted": "cooldown", "children": ["sorter"]}}},
            ["supervisors.top.exhausted", "'cooldown'", "'cool_down'"],
        ),
        (
            {"supervisors": {"a": {"children": ["sorter"]}, "b": {"children": ["sorter"]}}},
            ["supervisors.b", "'sorter'", "only one"],
        ),
        (
            {"supervisors": {"a": {"children": ["b"]}, "b": {"children": ["a"]}}},
            ["circle", "a < b < a"],
        ),
        (
            {"teams": {"desk": {"roles": {"writer": {"agents": "writr"}}}}},
            ["teams.desk.roles.writer.agents", "'writr'", "'writer'"],
        ),
        (
            {
                "teams": {
                    "desk": {"roles": {"w": {"agents": ["sorter", "writer"], "max_agents": 1}}}
                }
            },
            ["teams.desk.roles.w", "max_agents is 1"],
        ),
        ({"workflow": {"name": "w", "steps": []}}, ["workflow", "steps", "1 to 10,000"]),
        (
            {"workflow": {"name": "w", "steps": [{"id": "s", "agent": "sortir"}]}},
            ["workflow.steps[0]", "'s'", "'sortir'", "'sorter'"],
        ),
        (
            {"workflow": {"name": "w", "steps": [{"id": "s", "agent": "sorter", "inputs": 1}]}},
            ["'inputs'", "'input'"],
        ),
        (
            {
                "workflow": {
                    "name": "w",
                    "steps": [
                        {
                            "id": "s",
                            "team": "desk",
                            "workflow": [{"role": "riter", "action": "x"}],
                        }
                    ],
                }
            },
            ["'riter'", "'writer'", "'desk'"],
        ),
        (
            {
                "workflow": {
                    "name": "w",
                    "steps": [{"id": "s", "agent": "sorter", "input": "$srt.result"}],
                }
            },
            ["srt"],
        ),
        (
            {
                "workflow": {
                    "name": "w",
                    "steps": [{"id": "s", "agent": "sorter", "condition": "input.x ="}],
                }
            },
            ["condition"],
        ),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_is_near(
    changes: dict[str, Any], said: list[str], tmp_path: Path
) -> None:
    text = problems(tmp_path, project(**changes))
    assert "project.yaml" in text
    for part in said:
        assert part in text


@pytest.mark.parametrize("exhausted", [None, "cool_down", "escalate", "stop"])
def test_what_a_supervisor_does_at_its_limit_is_read(exhausted: str | None, tmp_path: Path) -> None:
    given = {"children": ["sorter"], **({} if exhausted is None else {"exhausted": exhausted})}
    definition = load(tmp_path, project(supervisors={"top": given}))
    built = build_project(definition, tmp_path)
    assert built.supervisors["top"].exhausted == exhausted


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = problems(
        tmp_path,
        project(
            supervisors={"top": {"children": ["nobody"]}},
            teams={"desk": {"roles": {"writer": {"agents": "no_one"}}}},
        ),
    )
    assert "'nobody'" in text
    assert "'no_one'" in text


def test_bad_syntax_is_named_with_its_line(tmp_path: Path) -> None:
    assert "line 3" in problems(tmp_path, "agents:\n  a: [1, 2\nworkflow: x")


@pytest.mark.parametrize("text", ["", "- a list", "just text"])
def test_a_file_that_is_no_mapping_is_shown_the_form(text: str, tmp_path: Path) -> None:
    assert "agents:" in problems(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"none\.yaml"):
        load_project(tmp_path / "none.yaml")


def test_the_schema_names_every_part_of_a_file() -> None:
    schema = project_schema()
    assert set(schema["properties"]) == {
        "name",
        "description",
        "agents",
        "supervisors",
        "teams",
        "schedules",
        "workflow",
        "engine",
        "packages",
    }
    assert schema["additionalProperties"] is False


def test_an_output_becomes_a_json_schema() -> None:
    schema = read_output({"kind": ["a", "b"], "score": "number", "tags": "list"})
    assert schema["required"] == ["kind", "score", "tags"]
    assert schema["properties"]["kind"] == {"type": "string", "enum": ["a", "b"]}
    assert schema["properties"]["score"] == {"type": "number"}
