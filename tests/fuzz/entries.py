"""Where others' texts and values come in, one entry each: what is given to it, and what it may raise."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agenticaiframework.actors import AgenticError, message_of, read_answer
from agenticaiframework.cli.main import main
from agenticaiframework.cli.project.definition import ProjectDefinition
from agenticaiframework.cli.showing import json_text, printable
from agenticaiframework.patterns import define
from agenticaiframework.patterns.engine import define_workflow, load_workflow, parse_text, read_json
from agenticaiframework.patterns.engine.definition.templates import compile_template
from agenticaiframework.patterns.engine.store.grouped.encoding import decode_entries
from agenticaiframework.patterns.engine.store.url_parts import without_password
from agenticaiframework.patterns.engine.store.urls import check_url
from agenticaiframework.patterns.expressions.expression import compile_expression
from agenticaiframework.patterns.kinds.event_matching import read_event_key

from .hostile import Hostile


@dataclass(frozen=True)
class Entry:
    """One way in. Errors of our own are right, and those of *also*; all others are found faults."""

    name: str
    run: Callable[[Hostile], object]
    also: tuple[type[BaseException], ...] = ()
    cheap: bool = True
    """Whether a million inputs take minutes."""


def expressions(hostile: Hostile) -> None:
    compile_expression(hostile.expression()).test({"input": hostile.value(), "a": hostile.value()})


def templates(hostile: Hostile) -> None:
    template = compile_template(hostile.one_of(hostile.text, hostile.value, hostile.expression))
    template.build({"input": hostile.value(), "a": {"b": hostile.value()}})


def definitions(hostile: Hostile) -> None:
    define_workflow(hostile.workflow()).to_mermaid()


def documents(hostile: Hostile) -> None:
    load_workflow(hostile.document(hostile.workflow()) + "\n")


def projects(hostile: Hostile) -> None:
    project = {"agents": {"x": hostile.value(3)}, "workflow": hostile.workflow()}
    project[str(hostile.key())] = hostile.value()
    data = parse_text(hostile.document(project))
    define(ProjectDefinition, "the project", data)


def rows(hostile: Hostile) -> None:
    body = hostile.document([["step_completed", "a", 1, hostile.value()], hostile.value()])
    data: Any = body.encode(errors="replace") if hostile.source.randrange(2) else body
    decode_entries([(2, 1, 0, data)], 0, "store", "run", lambda digest: "null")


def model_answers(hostile: Hostile) -> None:
    answer = hostile.one_of(hostile.text, lambda: hostile.document(hostile.value()))
    fence = hostile.source.choice(("", "```json\n", "```\n", "```"))
    read_answer(f"{fence}{answer}\n{fence[:3]}")


def payloads(hostile: Hostile) -> None:
    read_json(hostile.document(hostile.value()))


def events(hostile: Hostile) -> None:
    read_event_key(hostile.text(8) + "*" * hostile.source.randrange(3)).match(hostile.text(30))


def urls(hostile: Hostile) -> None:
    scheme = hostile.source.choice(("postgresql://", "postgres://", "", "mysql://"))
    url = f"{scheme}me:geheim{hostile.text(2)}@{hostile.text(4)}"
    assert "geheim" not in without_password(url), url
    try:
        check_url(url)
    except AgenticError as error:
        assert "geheim" not in str(error), error
        raise


def shown(hostile: Hostile) -> None:
    text = hostile.one_of(hostile.text, lambda: json_text(hostile.value()))
    left = set(printable(text)) & {"\x1b", "\x9b", "\u202e", "\0", "\r", "\x07"}
    assert not left
    message_of(ValueError(text * hostile.source.randrange(1, 2_000)))


def command_line(hostile: Hostile) -> None:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / hostile.source.choice(("p.yaml", "p.json", "p.txt"))
        project = {"agents": {"x": {"handler": "m:f"}}, "workflow": hostile.workflow()}
        file.write_bytes(hostile.document(project).encode(errors="replace"))
        command = hostile.source.choice(
            (
                ["check"],
                ["graph"],
                ["graph", "-f", "svg"],
                ["workflows", "list"],
                ["store", "check"],
            )
        )
        store = ["--store", f"sqlite:///{name}/{hostile.source.choice(('s.db', 'p.txt', ''))}"]
        tokens = [*command, *([] if command[0] in ("workflows", "store") else [str(file)])]
        tokens += store if command[0] in ("workflows", "store") else []
        for _ in range(hostile.source.randrange(3)):
            tokens.append(
                hostile.source.choice(("--json", "--limit", "--page", "--state", hostile.text(3)))
            )
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            contextlib.chdir(name),
        ):
            code = main([token.replace("\0", "") for token in tokens])
        assert code in (0, 1, 2), (tokens, code)
        assert "Traceback" not in err.getvalue()


ENTRIES: Final = (
    Entry("expressions", expressions),
    Entry("templates", templates, also=(LookupError,)),
    Entry("definitions", definitions),
    Entry("documents", documents),
    Entry("projects", projects),
    Entry("rows", rows),
    Entry("model answers", model_answers),
    Entry("payloads", payloads, also=(ValueError,)),
    Entry("events", events, also=(ValueError,)),
    Entry("urls", urls),
    Entry("shown", shown),
    Entry("command line", command_line, cheap=False),
)
