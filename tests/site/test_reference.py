"""The reference says something of every option, and knows all that the code reads and tells."""

from __future__ import annotations

import ast
import pkgutil
import re
import sys
from pathlib import Path

import pytest

for needed in ("cyclopts", "hypothesis", "pydantic_ai", "prometheus_client", "jinja2", "starlette"):
    pytest.importorskip(needed)

import reference
from public import INNER, MODULES, exported, homes

import agenticaiframework

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "house"))
from rooms import PUBLISHED

in_reach = pytest.mark.skipif(not (ROOT / "actors").is_dir(), reason="the sources are not here")
CLASS = re.compile(r"\bpublish\(\s*([A-Z]\w+)\(")
VARIABLE = re.compile(r"^os\.environ(?:\.get\(|\[)'(\w+)'")


@pytest.mark.parametrize(("name", "module"), reference.OPTIONS)
def test_the_tables_of_options_say_something_of_each(name: str, module: str) -> None:
    value = exported(module)[name]
    of_model = hasattr(value, "model_fields")
    rows = list(reference.pydantic_rows(value) if of_model else reference.signature_rows(value))
    assert rows
    assert not [option for option, _form, _default, says in rows if not says]


def test_every_published_package_has_a_page() -> None:
    assert not set(PUBLISHED) - set(MODULES)
    packages = {
        f"agenticaiframework.{found.name}"
        for found in pkgutil.iter_modules(agenticaiframework.__path__)
        if not found.name.startswith("_")
    }
    assert not packages - set(MODULES) - INNER, "docs/site/public.py does not have them"


def test_each_public_name_has_one_home() -> None:
    assert {homes()[name] for name in ("Agent", "Mailbox")} == {"agenticaiframework.actors"}
    for module in MODULES:
        page = "\n".join(reference.names_pages(module).values())
        for name in exported(module):
            assert f"::: {module}.{name}\n" in page or f"[`{name}`][" in page, f"{module}.{name}"


@in_reach
def test_every_event_that_is_published_is_in_the_table() -> None:
    published = {
        name
        for layer in ("actors", "supervision", "patterns", "api")
        for path in (ROOT / layer).rglob("*.py")
        for name in CLASS.findall(path.read_text("utf-8"))
    }
    assert len(published) > 3
    of_runs = {"WorkflowEvent"}  # its kinds are the second table
    assert not published & set(homes()) - set(reference.SYSTEM_EVENTS) - of_runs


@in_reach
def test_every_variable_that_is_read_is_in_the_table() -> None:
    read = {
        name
        for layer in ("actors", "supervision", "patterns", "api")
        for path in (ROOT / layer).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call | ast.Subscript)
        for name in VARIABLE.findall(ast.unparse(node))
    }
    assert read
    assert not [name for name in read if name not in " ".join(reference.environment())]


def test_every_kind_of_event_says_something() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", reference.events_page(), re.MULTILINE)
    assert len(rows) > 20
    assert not [kind for kind, says in rows if not says.strip()]


def test_a_sentence_that_begins_with_an_option_says_what_it_is() -> None:
    def paint(colour: str, thick: int = 1) -> None:
        """Paint. *colour* is a word. With a *colour* of red, *thick* counts.

        thick: in pixels,
            of the screen.
        """

    assert reference.sentences(paint, "colour") == "*colour* is a word."
    assert reference.one_line(reference.sentences(paint, "thick")) == "In pixels, of the screen."


def test_the_list_of_blocks_that_are_not_run_says_why() -> None:
    page = reference.blocks_page()
    assert "| [tutorial/index.md](../tutorial/index.md), line " in page
    assert "it needs a key and a network |" in page
    assert "contributing/pages.md" not in page, "a mark in a block is shown, and marks nothing"


def test_a_package_with_many_names_has_a_list_of_them_and_pages_of_entries() -> None:
    overview, *entries = reference.names_pages("agenticaiframework.actors").items()
    assert overview[0] == "actors"
    assert ":::" not in overview[1]
    assert "| [`Agent`][agenticaiframework.actors.Agent] |" in overview[1]
    for name, text in entries:
        assert text.startswith("---\nsearch:\n  exclude: true\n---\n"), name
    assert [*reference.names_pages("agenticaiframework.health")] == ["health"]


def test_no_page_of_entries_is_heavy() -> None:
    for module in MODULES:
        names = exported(module)
        own = {name: value for name, value in names.items() if homes()[name] == module}
        for group, inside in reference.groups(module, own).items():
            heavy = sum(reference.weight(names[name]) for name in inside)
            assert heavy <= reference.HEAVIEST * 1.3, (module, group)


def test_every_page_of_names_is_in_the_navigation_once() -> None:
    nav = reference.names_nav()
    for module in MODULES:
        for page in reference.names_pages(module):
            assert nav.count(f'"reference/api/{page}.md"') == 1
