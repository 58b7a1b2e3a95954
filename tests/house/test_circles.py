"""Imports run one way: no file reaches itself, with imports for typing and in functions counted."""

from __future__ import annotations

from library_files import arrows, circles, library, planted, short


def test_no_file_reaches_itself_through_its_imports() -> None:
    modules = library()
    graph = arrows(modules)
    said: list[str] = []
    for group in circles(graph):
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
    (group,) = circles(arrows(modules))
    assert [short(module) for module in group] == ["actors.a", "actors.b", "actors.c"]


def test_a_tree_of_imports_has_no_circle() -> None:
    modules = planted(
        actors__init="from .a import x",
        actors__a="from .b import x",
        actors__b="import os",
        actors__c="from . import a, b",
    )
    assert not circles(arrows(modules))
