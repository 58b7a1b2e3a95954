"""Project files are checked as a whole, in the words of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")

from agenticaiframework.actors import AgenticError
from agenticaiframework.cli.project import load_project, project_schema
from agenticaiframework.cli.project.agent_entry import AgentEntry
from agenticaiframework.cli.project.build import build_from_file, build_project
from agenticaiframework.cli.project.lines import with_lines
from agenticaiframework.cli.project.model_agents import model_parameters
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


def test_a_long_chain_of_agents_that_are_tools_of_each_other_is_built(tmp_path: Path) -> None:
    last = 600
    agents: dict[str, Any] = {
        f"a{number}": {"model": "scripted", "tools": [f"a{number + 1}"]} for number in range(last)
    }
    agents[f"a{last}"] = {"model": "scripted"}
    steps = [{"id": "s", "agent": "a0"}]
    definition = load(tmp_path, {"agents": agents, "workflow": {"name": "w", "steps": steps}})
    built = build_project(definition, tmp_path, only_look=True)
    assert set(built.agents) == set(agents)


def test_a_long_chain_of_supervisors_is_no_circle(tmp_path: Path) -> None:
    last = 3000
    supervisors = {f"v{number}": {"children": [f"v{number + 1}"]} for number in range(last)}
    supervisors[f"v{last}"] = {"children": ["sorter", "writer"]}
    assert load(tmp_path, project(supervisors=supervisors)).roots == ("v0",)


def test_a_mapping_is_gone_through_once_for_all_problems_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Counted(list[Any]):
        times = 0

        def __iter__(self) -> Any:
            self.times += 1
            return super().__iter__()

    text = "".join(f"a{number}: 1\n" for number in range(100))
    root = yaml.compose(text)
    fields = root.value = Counted(root.value)
    monkeypatch.setattr(yaml, "compose", lambda *_, **__: root)
    told = with_lines([f"a{number}: is wrong" for number in range(100)], text)
    assert told == [f"line {number + 1}: a{number}: is wrong" for number in range(100)]
    assert fields.times == 1


@pytest.mark.skipif(not hasattr(yaml, "CSafeLoader"), reason="PyYAML has no parser in C here")
def test_lines_are_found_by_the_fast_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "SafeLoader", None)
    assert with_lines(["a: is wrong"], "b: 1\na: 2") == ["line 2: a: is wrong"]


def test_each_of_several_mistakes_of_one_kind_has_its_line(tmp_path: Path) -> None:
    text = """\
agents:
  sorter: {model: scripted}
supervisors:
  top: {children: [sortr]}
  low: {children: [writr]}
workflow:
  name: w
  nmae: w
  stepz: []
  steps:
    - {id: a, agent: srter}
"""
    told = problems(tmp_path, text.replace("  nmae: w\n  stepz: []\n", ""))
    assert "line 4: supervisors.top" in told
    assert "line 5: supervisors.low" in told
    assert "line 9: workflow.steps[0]" in told
    told = problems(tmp_path, text)
    assert "line 8: workflow: unknown field 'nmae'" in told
    assert "line 9: workflow: unknown field 'stepz'" in told


def test_of_very_many_mistakes_the_first_are_shown(tmp_path: Path) -> None:
    told = problems(tmp_path, {f"k{number}": 1 for number in range(5000)})
    assert "'k0'" in told
    assert "and 4,950 more" in told
    assert len(told) < 10_000


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"type": "objec"}, "'objec'"),
        ({"type": "string", "pattern": "("}, "'('"),
        ({"$ref": "http://example.org/schema"}, "not within the schema"),
    ],
)
def test_a_schema_that_no_answer_can_be_checked_against_is_named_with_its_line(
    field: dict[str, str], said: str, tmp_path: Path
) -> None:
    schema = {"type": "object", "properties": {"x": field}}
    told = problems(
        tmp_path, project(agents={"sorter": {"model": "scripted", "output_type": schema}})
    )
    assert "agents.sorter.output_type: " in told
    assert said in told
    assert "line 4" in told


@pytest.mark.parametrize("name", ["no", "1", "2026-01-31"])
def test_a_name_that_yaml_reads_as_something_else_is_told_with_the_mend(
    name: str, tmp_path: Path
) -> None:
    text = """\
agents:
  NAME: {model: scripted}
workflow:
  name: w
  steps:
    - {id: a, agent: "NAME"}
"""
    told = problems(tmp_path, text.replace("NAME", name))
    assert "line 1: agents: the name " in told
    assert "needs quotes" in told
    assert load(tmp_path, text.replace("NAME", f"'{name}'", 1).replace("NAME", name))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"engine": {"agent_limit": {}}}, "engine: unknown field 'agent_limit'"),
        ({"engine": {"poll_seconds": -1}}, "engine: poll_seconds: "),
        (
            {"teams": {"desk": {"roles": {"writer": {"agents": "writer"}}, "config": {"x": 1}}}},
            "teams.desk.config: unknown field 'x'",
        ),
    ],
)
def test_a_wrong_option_is_told_with_its_file_and_line(
    part: dict[str, Any], said: str, tmp_path: Path
) -> None:
    definition = load(tmp_path, project(**part))
    with pytest.raises(DefinitionError, match=r"project\.yaml: line \d+: ") as caught:
        build_from_file(definition, tmp_path / "project.yaml", only_look=True)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("server", "label"),
    [
        ({"url": "https://host/${CRM_KEY}/mcp"}, "https://host/${CRM_KEY}/mcp"),
        ({"command": "crm", "args": ["--key", "${CRM_KEY}"]}, "crm --key ${CRM_KEY}"),
    ],
)
def test_an_mcp_server_is_called_as_the_file_has_it(
    server: dict[str, Any], label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_KEY", "very-secret")
    entry = AgentEntry(model="scripted", mcp=server)
    made = model_parameters("sorter", entry, None, None, only_look=False)["tools"][0]  # type: ignore[arg-type]
    assert made.label == label
    assert "very-secret" not in repr(made)
    assert "very-secret" in f"{made.url} {made.args}"


def test_what_stands_in_a_variable_is_not_shown_by_the_error_about_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_KEY", "very-secret")
    agents = {"sorter": {"model": "scripted", "mcp": {"url": "${CRM_KEY}"}}}
    steps = [{"id": "s", "agent": "sorter"}]
    bad_server = {"agents": agents, "workflow": {"name": "w", "steps": steps}}
    for data in (project(engine={"state_store": "$CRM_KEY"}), bad_server):
        definition = load(tmp_path, data)
        with pytest.raises(AgenticError) as caught:
            build_project(definition, tmp_path)
        assert "CRM_KEY" in str(caught.value)
        assert "very-secret" not in str(caught.value)
