"""What `--input` gives a workflow: ``key=text``, ``key:=JSON``, ``@file.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from agenticaiframework.actors import AgenticError
from agenticaiframework.patterns import DefinitionError
from agenticaiframework.patterns.engine import WorkflowDefinition, read_file, read_json


class BadInput(AgenticError, ValueError):
    """A value given with ``--input`` cannot be read."""

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(
            f"--input {text}: {problem} Forms that work: query=\"any text\", 'count:=3' (JSON), "
            "@values.json (a file with a JSON object)."
        )
        self.text = text


def read_inputs(texts: Iterable[str]) -> dict[str, Any]:
    """Return the mapping that *texts* make together; raises `BadInput`.

    >>> read_inputs(["query=a=b", "count:=3"])
    {'query': 'a=b', 'count': 3}
    """
    found: dict[str, Any] = {}
    for text in texts:
        if text.startswith("@"):
            values = _read_file(text)
        else:
            key, equals, value = text.partition("=")
            as_json = key.endswith(":")
            key = key.removesuffix(":").strip()
            if not equals or not key:
                raise BadInput(text, "it has no key and '='.")
            values = {key: _read_json(text, value) if as_json else value}
        twice = next((key for key in values if key in found), None)
        if twice is not None:
            raise BadInput(text, f"{twice!r} is given twice.")
        found.update(values)
    return found


class InputNeeded(AgenticError, ValueError):
    """The workflow declares an input that the command did not give, or gave in another form."""

    def __init__(self, workflow: str, problem: str, needed: Iterable[str]) -> None:
        forms = " ".join(f"--input {name}=..." for name in needed)
        super().__init__(
            f"The workflow {workflow!r} cannot start: {problem.strip()} Give it {forms}"
        )
        self.workflow = workflow


def check_input(workflow: WorkflowDefinition, given: Mapping[str, Any]) -> None:
    """Raise `InputNeeded` unless *given* fits the input that *workflow* declares."""
    shape = workflow.input_model
    if shape is None:
        return
    problem = shape.problem(given)
    if problem is not None:
        needed = [name for name, field in shape.fields.items() if field.required]
        raise InputNeeded(workflow.name, problem, needed)


def _read_json(text: str, value: str) -> Any:
    try:
        return read_json(value)
    except ValueError as error:
        raise BadInput(text, f"the value is not JSON ({error}).") from None


def _read_file(text: str) -> Mapping[str, Any]:
    try:
        data: object = read_json(read_file(Path(text[1:])))
    except DefinitionError as error:
        raise BadInput(text, f"the file {error.problems[0]}.") from None
    except ValueError as error:
        raise BadInput(text, f"the file is not JSON ({error}).") from None
    if not isinstance(data, dict):
        raise BadInput(text, "the file holds no JSON object.")
    return cast("dict[str, Any]", data)
