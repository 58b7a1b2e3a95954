"""Imports run one way: no file reaches itself, with imports for typing and in functions counted."""

from __future__ import annotations

from library_files import Library, arrows, library, planted, short


def circles(modules: Library) -> list[list[str]]:
    """Return the groups of modules that reach each other (Tarjan's strongly connected ones)."""
    graph = arrows(modules)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for goal in graph[module]:
            if goal not in index:
                visit(goal)
                low[module] = min(low[module], low[goal])
            elif goal in stack:
                low[module] = min(low[module], index[goal])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(graph):
        if module not in index:
            visit(module)
    return found


def test_no_file_reaches_itself_through_its_imports() -> None:
    modules = library()
    graph = arrows(modules)
    said: list[str] = []
    for group in circles(modules):
        said.append(f"{len(group)} files reach each other:")
        for module in group:
            for goal, line in sorted(graph[module].items()):
                if goal in group:
                    said.append(f"  {short(module)}:{line} imports {short(goal)}")
    assert not said, "\n".join(said)


def test_a_circle_is_found_through_functions_typing_and_packages() -> None:
    modules = planted(
        actors__a="from .b import x",
        actors__b="def f():\n    from . import c",
        actors__c="if TYPE_CHECKING:\n    import agenticaiframework.actors.a",
        actors__d="from .a import x\nfrom .c import y",
    )
    (group,) = circles(modules)
    assert [short(module) for module in group] == ["actors.a", "actors.b", "actors.c"]


def test_a_tree_of_imports_has_no_circle() -> None:
    modules = planted(
        actors__init="from .a import x",
        actors__a="from .b import x",
        actors__b="import os",
        actors__c="from . import a, b",
    )
    assert not circles(modules)
