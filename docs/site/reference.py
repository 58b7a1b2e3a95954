"""Writes the reference: pages of names for mkdocstrings, and tables of options, events, errors and fields.

All of it is read from the code when the site is built. What a table says of an option is the option's own
docstring, or the sentence of its class that names it in asterisks.
"""

from __future__ import annotations

import inspect
import io
import re
import textwrap
from ast import AnnAssign, ClassDef, Constant, Expr, Name, parse
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from public import MODULES, ROOT, exported, first_line, homes, is_error, page_of

DOCS = Path(__file__).resolve().parents[1]
_NOT_RUN = re.compile(r"^<!-- not run: (?P<why>.+) -->$", re.MULTILINE)

KINDS: tuple[tuple[str, Callable[[Any], bool]], ...] = (
    ("Classes", inspect.isclass),
    ("Functions", inspect.isroutine),
    ("Values and types", lambda _value: True),
)


def write_reference(folder: Path) -> None:
    """Write all pages of the reference that are made from the code into *folder*."""
    (folder / "api").mkdir(parents=True, exist_ok=True)
    for module in MODULES:
        for name, text in names_pages(module).items():
            (folder / "api" / f"{name}.md").write_text(text, "utf-8")
    for name, write in PAGES.items():
        (folder / f"{name}.md").write_text(write(), "utf-8")
    contributing = folder.parent / "contributing"
    contributing.mkdir(exist_ok=True)
    (contributing / "blocks.md").write_text(blocks_page(), "utf-8")


# --- names -----------------------------------------------------------------------------------------

FEW = 8
"""So many names are one page; of more, a page lists them, and their entries stand on pages of their own."""
ROOM = 12
"""A part of a package with so many names has a page of its own; those with fewer share one."""
HEAVIEST = 190
"""So many entries, members of classes included, are one page: more make it long to load on a telephone."""


def names_pages(module: str) -> dict[str, str]:
    """Return the pages of a module, by their names: an entry for each name whose home it is, links to others."""
    names = exported(module)
    own = {name: value for name, value in names.items() if homes()[name] == module}
    others = [name for name in names if name not in own]
    page = page_of(module)
    few = len(own) <= FEW
    parts = [f"# {module}\n", *module_text(module)]
    for title, chosen in by_kind(own).items():
        parts.append(f"## {title}\n")
        parts += [entry(module, name) for name in chosen] if few else [table(chosen), ""]
    if others:
        parts += ["## Also exported here\n", table({name: names[name] for name in others})]
    pages = {page: "\n".join(parts) + "\n"}
    for group, chosen in ({} if few else groups(module, own)).items():
        entries = "\n".join(entry(module, name) for name in chosen)
        text = f"# {module}: {group}\n\n{entries}\n"
        # A guide is what a search should give first; the list of names is found as well.
        pages[f"{page}.{group.replace(' ', '-')}"] = leave_out_of_search(text)
    return pages


def leave_out_of_search(text: str) -> str:
    """Return the page *text* as one that the site's search does not know."""
    return f"---\nsearch:\n  exclude: true\n---\n\n{text}"


def by_kind(names: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return *names* under their headings: classes, functions, values, errors."""
    found: dict[str, dict[str, Any]] = {}
    left = {name: value for name, value in names.items() if not is_error(value)}
    for title, belongs in KINDS:
        found[title] = {name: value for name, value in left.items() if belongs(value)}
        left = {name: value for name, value in left.items() if name not in found[title]}
    found["Errors"] = {name: value for name, value in names.items() if is_error(value)}
    return {title: chosen for title, chosen in found.items() if chosen}


def groups(module: str, names: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of each page of entries, so that no page is long: by the rooms that define them."""
    found: dict[str, list[str]] = {}
    for name, value in names.items():
        found.setdefault(room_of(module, value), []).append(name)
    small = [room for room, inside in found.items() if len(inside) < ROOM]
    more = sorted(name for room in small for name in found.pop(room))
    rest = "more" if found else "entries"
    whole = dict(sorted(found.items())) | ({rest: more} if more else {})
    return {
        room if len(parts) == 1 else f"{room} {number}": part
        for room, inside in whole.items()
        for parts in [in_parts(inside, names)]
        for number, part in enumerate(parts, 1)
    }


def in_parts(inside: list[str], names: Mapping[str, Any]) -> list[list[str]]:
    """Return *inside* as lists of which none is too heavy for a page, and all are about as heavy."""
    weights = [weight(names[name]) for name in inside]
    wanted = -(-sum(weights) // HEAVIEST)
    parts: list[list[str]] = [[]]
    done = 0
    for name, heavy in zip(inside, weights, strict=True):
        if parts[-1] and done + heavy / 2 > len(parts) * sum(weights) / wanted:
            parts.append([])
        parts[-1].append(name)
        done += heavy
    return parts


def weight(value: Any) -> int:
    """Return about how much an entry is: one, and of a class one for each member."""
    members = vars(value) if inspect.isclass(value) else ()
    return 2 + sum(not name.startswith("_") for name in members)


def room_of(module: str, value: Any) -> str:
    """Return the part of *module* that defines *value*."""
    if is_error(value):
        return "errors"
    defined: object = getattr(value, "__module__", None)
    if not isinstance(defined, str) or not defined.startswith(f"{module}."):
        return "values"
    room = defined.removeprefix(f"{module}.").partition(".")[0]
    return "more" if room == "errors" else room


def table(names: Mapping[str, Any]) -> str:
    rows = (f"| {link(name)} | {first_line(value)} |" for name, value in names.items())
    return "\n".join(["| Name | |\n| --- | --- |", *rows])


def names_nav() -> str:
    """Return what the navigation has below "Names", in the configuration's own language."""
    lines: list[str] = []
    for module in sorted(MODULES):
        title = module.removeprefix(f"{ROOT}.")
        pages = [f"reference/api/{page}.md" for page in names_pages(module)]
        if len(pages) == 1:
            lines.append(f'{{ "{title}" = "{pages[0]}" }},')
            continue
        inside = [f'{{ "All names" = "{pages[0]}" }}']
        start = len(f"reference/api/{page_of(module)}.")
        inside += [f'{{ "{page[start:-3]}" = "{page}" }}' for page in pages[1:]]
        lines.append(f'{{ "{title}" = [{", ".join(inside)}] }},')
    return "\n".join(lines)


def blocks_page() -> str:
    """Return the list of the blocks that are not run, with the reasons that stand above them."""
    parts = [
        "# Blocks that are not run\n",
        "All other blocks of Python, YAML and console run as they are shown; [writing pages](pages.md) says how.\n",
        "| Block | Why not |\n| --- | --- |",
    ]
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text("utf-8")
        for mark in _NOT_RUN.finditer(text):
            if text.count("```", 0, mark.start()) % 2 == 0:  # else it is shown
                name, line = (
                    page.relative_to(DOCS).as_posix(),
                    text.count("\n", 0, mark.start()) + 2,
                )
                parts.append(f"| [{name}](../{name}), line {line} | {mark['why']} |")
    return "\n".join(parts) + "\n"


def module_text(module: str) -> list[str]:
    import importlib

    text = inspect.getdoc(importlib.import_module(module)) or ""
    return [re.sub(r" ?::$", ":", text, flags=re.MULTILINE) + "\n"] if text else []


def entry(module: str, name: str) -> str:
    return f"::: {module}.{name}\n    options:\n      heading_level: 3\n"


def link(name: str, shown: str = "") -> str:
    """Return a link to the entry of a public name; its name alone if it is not one."""
    home = homes().get(name)
    code = f"`{shown or name}`"
    return f"[{code}][{home}.{name}]" if home else code


# --- options ---------------------------------------------------------------------------------------

OPTIONS: tuple[tuple[str, str], ...] = (
    ("Agent", f"{ROOT}.actors"),
    ("ActorSystem", f"{ROOT}.actors"),
    ("Mailbox", f"{ROOT}.actors"),
    ("AgentSupervisor", f"{ROOT}.supervision"),
    ("RestartPolicy", f"{ROOT}.supervision"),
    ("AgentTeam", f"{ROOT}.patterns.teams"),
    ("AgentRole", f"{ROOT}.patterns.teams"),
    ("TeamConfig", f"{ROOT}.patterns.teams"),
    ("Retry", f"{ROOT}.patterns"),
    ("EngineConfig", f"{ROOT}.patterns.engine"),
    ("StepDefinition", f"{ROOT}.patterns.engine"),
    ("WorkflowDefinition", f"{ROOT}.patterns.engine"),
    ("WaitFor", f"{ROOT}.patterns.engine"),
    ("Compensation", f"{ROOT}.patterns.engine"),
    ("Retention", f"{ROOT}.patterns.engine.store"),
    ("McpServer", f"{ROOT}.models"),
    ("observer_app", f"{ROOT}.observer"),
    ("serve_workflow", f"{ROOT}.faces"),
    ("FaceLimits", f"{ROOT}.faces"),
    ("measure", f"{ROOT}.metrics"),
    ("simulate", f"{ROOT}.testing"),
    ("Faults", f"{ROOT}.testing"),
)


def options_page() -> str:
    parts = ["# Options\n", "What can be set, and what it is if nothing is said.\n"]
    for name, module in OPTIONS:
        value = exported(module)[name]
        parts += [f"## {name}\n", f"{first_line(value)} See {link(name)}.\n", options_table(value)]
    return "\n".join(parts)


def options_table(value: Any) -> str:
    """Return the table of what a class or function takes."""
    rows = pydantic_rows(value) if hasattr(value, "model_fields") else signature_rows(value)
    head = "| Option | Says | Default | Form |\n| --- | --- | --- | --- |\n"
    return head + "".join(f"| `{n}` | {t} | {cell(d)} | {cell(f)} |\n" for n, f, d, t in rows)


def pydantic_rows(model: Any) -> Iterable[tuple[str, str, str, str]]:
    said = field_texts(model)
    forms = field_forms(model)
    for name, field in model.model_fields.items():
        if field.is_required():
            default = "required"
        elif field.default_factory is not None:
            default = shown_default(field.get_default(call_default_factory=True))
        else:
            default = shown_default(field.default)
        text = said.get(name) or field.description or sentences(model, name)
        shown = field.alias if isinstance(field.alias, str) else name
        yield shown, forms.get(name, ""), default, one_line(text)


def signature_rows(value: Any) -> Iterable[tuple[str, str, str, str]]:
    said = field_texts(value) if inspect.isclass(value) else {}
    for parameter in inspect.signature(value).parameters.values():
        if parameter.kind is parameter.POSITIONAL_ONLY:  # what it is put around, as a decorator
            continue
        form = parameter.annotation
        if form is inspect.Parameter.empty:
            form = ""
        name = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        needed = parameter.default is inspect.Parameter.empty
        default = (
            "required" if needed and not name else "" if name else shown_default(parameter.default)
        )
        text = said.get(parameter.name) or sentences(value, parameter.name)
        yield name + parameter.name, str(form), default, one_line(text)


def shown_default(value: Any) -> str:
    if isinstance(value, Enum):
        return repr(value.value)
    if inspect.isroutine(value) or inspect.isclass(value):
        return value.__qualname__
    text = repr(value)
    return "..." if " at 0x" in text else text


def cell(text: str) -> str:
    """Return code for a cell of a table: a bar in code ends no cell."""
    return f"`{text}`" if text and text != "required" else text


def one_line(text: str) -> str:
    """Return a docstring's text as a cell of a table."""
    text = " ".join(text.split())
    text = re.sub(r"^\*\w+\*: ", "", text)
    text = re.sub(r"(?<!`)`([A-Z]\w+)`(?!`)", lambda found: link(found[1]), text)
    return text[:1].upper() + text[1:]


def class_sources(value: type) -> Iterable[ClassDef]:
    for each in reversed(value.__mro__):
        if each.__module__.startswith(ROOT):
            try:
                tree = parse(textwrap.dedent(inspect.getsource(each))).body[0]
            except (OSError, TypeError):
                continue
            if isinstance(tree, ClassDef):
                yield tree


def field_forms(value: type) -> dict[str, str]:
    """Return the annotations of a class's fields, as they are written."""
    import ast

    return {
        line.target.id: ast.unparse(line.annotation)
        for tree in class_sources(value)
        for line in tree.body
        if isinstance(line, AnnAssign) and isinstance(line.target, Name)
    }


def field_texts(value: type) -> dict[str, str]:
    """Return the docstrings that stand below a class's fields or an enum's members."""
    found: dict[str, str] = {}
    for tree in class_sources(value):
        for line, below in zip(tree.body, tree.body[1:], strict=False):
            targets = getattr(line, "targets", None) or [getattr(line, "target", None)]
            text = below.value.value if _is_text(below) else None  # type: ignore[attr-defined]
            if isinstance(targets[0], Name) and text:
                found[targets[0].id] = text
    return found


def _is_text(line: Any) -> bool:
    return (
        isinstance(line, Expr)
        and isinstance(line.value, Constant)
        and isinstance(line.value.value, str)
    )


_SENTENCE = re.compile(r"(?<=[.;!?])\s+(?=[A-Z*`])|\n\n+|\n- ")
_PARAMETER = r"^{name}: (?P<text>.*?)(?=^\S|\n\n|\Z)"


def sentences(value: Any, name: str) -> str:
    """Return what a docstring says of *name*: after ``name:``, or in sentences that name it in asterisks."""
    found: list[str] = []
    for text in texts_of(value):
        told = re.search(_PARAMETER.format(name=name), text, re.MULTILINE | re.DOTALL)
        if told:
            return told["text"]
        found += [
            sentence.strip().removeprefix("- ").rstrip(";")
            for sentence in _SENTENCE.split(text)
            if re.search(rf"\*{name}\*|``{name}[=`]", sentence)
        ]
    # The sentence that begins with it says what it is; others only use it.
    first = [sentence for sentence in found if sentence.startswith(f"*{name}*")]
    return " ".join(first or found)


def texts_of(value: Any) -> Iterable[str]:
    """Return the docstrings of a class, its bases here and their constructors; or of a function."""
    if not inspect.isclass(value):
        yield inspect.getdoc(value) or ""
        return
    for each in value.__mro__:
        if each.__module__.startswith(ROOT):
            for documented in (each, vars(each).get("__init__")):
                text = getattr(documented, "__doc__", None)
                if text:
                    yield inspect.cleandoc(text)


# --- events, errors --------------------------------------------------------------------------------

SYSTEM_EVENTS = (
    *("ActorEnded", "ChildRestarting", "CircuitChanged", "DeadLetter", "GaveUp", "LoopBlocked"),
    *(
        "KeyRegistered",
        "KeyUnregistered",
        "ModelRequestEnded",
        "NodeDown",
        "NodeUp",
        "ObserverAction",
        "SupervisorReport",
    ),
)


def events_page() -> str:
    from agenticaiframework.patterns import engine

    parts = [
        "# Events\n",
        "## Of a system\n",
        "`system.subscribe(fn, Type)` calls *fn* with each event of that type.\n",
        "| Event | Says | Fields |\n| --- | --- | --- |",
    ]
    for name in SYSTEM_EVENTS:
        value = exported(homes()[name])[name]
        fields = ", ".join(f"`{field}`" for field in fields_of(value))
        parts.append(f"| {link(name)} | {first_line(value)} | {fields} |")
    said = field_texts(engine.EventKind)
    parts += [
        "\n## Of a workflow\n",
        "`engine.stream(run)` yields a `WorkflowEvent` of one of these kinds; of a stored run they are its journal.\n",
        "| Kind | Says |\n| --- | --- |",
        *(f"| `{kind.value}` | {one_line(said.get(kind.name, ''))} |" for kind in engine.EventKind),
    ]
    return "\n".join(parts) + "\n"


def fields_of(value: type) -> list[str]:
    own = getattr(value, "model_fields", None) or getattr(value, "__match_args__", None)
    named = own or getattr(value, "_fields", None) or getattr(value, "__annotations__", {})
    return [name for name in named if not name.startswith("_")]


def errors_page() -> str:
    parts = [
        "# Errors\n",
        "Every public error, by what exports it. All derive from `AgenticError`, "
        "and each also from the built-in error that it is a case of.\n",
    ]
    for module in MODULES:
        own = {
            name: value
            for name, value in exported(module).items()
            if is_error(value) and homes()[name] == module
        }
        if own:
            parts += [f"## {module}\n", "| Error | Says | Is a |\n| --- | --- | --- |"]
            for name, value in own.items():
                bases = ", ".join(link(base.__name__) for base in value.__bases__)
                parts.append(f"| {link(name)} | {first_line(value)} | {bases} |")
            parts.append("")
    return "\n".join(parts) + "\n"


# --- the command, the environment, project files -----------------------------------------------------


def command_page() -> str:
    from rich.console import Console

    from agenticaiframework.cli.app import app

    parts = [
        "# Commands and exit codes\n",
        "What `--help` says. [The command line](../command-line.md) shows how they are used.\n",
    ]
    for words in commands(app):
        out = io.StringIO()
        app.help_print(list(words), console=Console(file=out, width=84, no_color=True))
        title = " ".join(("agenticaiframework", *words))
        parts += [f"## {title}\n", f"```text\n{textwrap.dedent(out.getvalue()).strip()}\n```\n"]
    parts += [
        "## Exit codes\n",
        "| Code | Means |\n| --- | --- |",
        *(f"| {code} | {means} |" for code, means in exit_codes().items()),
    ]
    return "\n".join(parts) + "\n"


def commands(app: Any, before: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    """Return the words of each command, the groups' before those of their commands."""
    yield before
    for name in app:
        if not name.startswith("-"):
            yield from commands(app[name], (*before, name))


def exit_codes() -> Mapping[int, str]:
    from agenticaiframework.cli.exits import EXIT_FAILED
    from agenticaiframework.cli.interrupts import EXIT_INTERRUPTED
    from agenticaiframework.cli.run import EXIT_OK

    return {
        EXIT_OK: "it is done",
        EXIT_FAILED: "the workflow failed, or the command could not do its work",
        2: "bad input: nothing was run",
        3: "a crash that was asked for with `--crash` never happened",
        EXIT_INTERRUPTED: "interrupted by Ctrl-C",
        143: "ended by SIGTERM, where the program does not handle it",
    }


def environment() -> dict[str, str]:
    """Return the variables that the library reads, with what each says."""
    from agenticaiframework.models.providers.settings import _LOCAL_URLS
    from agenticaiframework.patterns.engine.definition.config import DEFAULT_STORE, STORE_VARIABLE
    from agenticaiframework.testing.recorded_model import _KEY_VARIABLES

    urls = {
        variable: f"where the provider `{provider}` is; `{url}` if it is not set"
        for provider, (variable, url) in _LOCAL_URLS.items()
    }
    return {
        STORE_VARIABLE: f"the store of engines and commands that are given none; `{DEFAULT_STORE}` if it is not set",
        "CI": "if it is set, `recorded_model` makes no requests",
        **urls,
        **dict.fromkeys(_KEY_VARIABLES, "the key of a provider; read by pydantic-ai"),
        "PGHOST, PGPORT, PGUSER, PGPASSWORD, PGSSLMODE, ...": "what a PostgreSQL URL leaves open; read by libpq",
        "NO_COLOR, FORCE_COLOR, COLUMNS": "how the command draws; read by rich",
    }


def environment_page() -> str:
    rows = [f"| `{name}` | {says} |" for name, says in environment().items()]
    return "\n".join(
        [
            "# Environment\n",
            "The variables of the environment that are read.\n",
            "| Variable | Says |\n| --- | --- |",
            *rows,
            "\nA store's URL may be the name of a variable: `$DATABASE_URL`. "
            "In a project file `${NAME}` stands for the variable `NAME` in the texts of MCP servers.\n",
        ]
    )


def project_page() -> str:
    from agenticaiframework.cli.project.definition import ProjectDefinition
    from agenticaiframework.patterns.engine import WorkflowDefinition

    parts = [
        "# Project files\n",
        "The fields of a project file, in YAML or JSON. `agenticaiframework schema` prints the same as a JSON "
        "schema, for editors; [the command line](../command-line.md) has an example.\n",
    ]
    seen: set[type] = {WorkflowDefinition}
    waiting: list[type] = [ProjectDefinition]
    while waiting:
        model = waiting.pop(0)
        if model in seen:
            continue
        seen.add(model)
        parts += [f"## {model.__name__}\n", f"{first_line(model)}\n", options_table(model)]
        for field in model.model_fields.values():  # type: ignore[attr-defined]
            waiting += models_in(field.annotation)
    return "\n".join(parts)


def models_in(form: Any) -> list[type]:
    """Return the models that stand somewhere in an annotation."""
    import typing

    if inspect.isclass(form) and hasattr(form, "model_fields"):
        return [form]
    return [model for part in typing.get_args(form) for model in models_in(part)]


PAGES: Mapping[str, Callable[[], str]] = {
    "options": options_page,
    "events": events_page,
    "errors": errors_page,
    "commands": command_page,
    "environment": environment_page,
    "project-files": project_page,
}
