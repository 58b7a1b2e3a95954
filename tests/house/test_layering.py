"""Imports go down the layers only: actors <- supervision <- patterns <- the package itself."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import agenticaiframework

LAYERS = ("actors", "supervision", "patterns")
NAME = "agenticaiframework"


def package_root() -> Path:
    return Path(next(iter(agenticaiframework.__path__)))


def layer_of(module: str) -> str:
    """Return the layer of a module of ours: the folder's name, or the package for the top one."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in LAYERS else NAME


def imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[int, str, bool]]:
    """Yield (line, absolute module, written relatively) for every import, also in functions."""
    parts = module.split(".")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, False
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = parts if is_package else parts[:-1]
                base = base[: len(base) - (node.level - 1)]
                yield node.lineno, ".".join([*base, *filter(None, [node.module])]), True
            else:
                yield node.lineno, node.module or "", False
                # `from agenticaiframework import patterns` names the layer in the second part.
                for alias in node.names:
                    yield node.lineno, f"{node.module}.{alias.name}", False


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    layer = layer_of(module)
    order = (*LAYERS, NAME)
    found: list[str] = []
    for line, target, relative in imports(ast.parse(source), module, is_package):
        if target.split(".")[0] in (*LAYERS, "api"):
            found.append(f"{module}:{line} imports {target}, which is {NAME}.{target}")
        if target.split(".")[0] != NAME:
            continue
        if target == NAME and layer in LAYERS:
            # The names that follow are yielded one by one; the package itself is the top layer.
            if relative:
                found.append(f"{module}:{line} leaves its layer by a relative import")
            continue
        goal = layer_of(target)
        if order.index(goal) > order.index(layer):
            found.append(f"{module}:{line} ({layer}) imports {target} ({goal}): upward")
        if relative and goal != layer:
            found.append(f"{module}:{line} crosses to {goal} by a relative import: write it out")
    return found


def our_modules() -> list[tuple[str, Path]]:
    root = package_root()
    found: list[tuple[str, Path]] = []
    # Links are followed: an installation for development may consist of them.
    folders = os.walk(root, followlinks=True)
    for path in sorted(Path(d, f) for d, _, files in folders for f in files if f.endswith(".py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        found.append((".".join((NAME, *parts)), path))
    return found


@pytest.mark.parametrize(("module", "path"), our_modules(), ids=lambda value: str(value)[-60:])
def test_a_module_imports_nothing_from_a_layer_above(module: str, path: Path) -> None:
    found = violations(path.read_text("utf-8"), module, path.name == "__init__.py")
    assert not found, "\n".join(found)


def test_all_layers_are_seen() -> None:
    layers = {layer_of(module) for module, _ in our_modules()}
    assert layers == {*LAYERS, NAME}


def test_every_folder_with_modules_is_a_package() -> None:
    root = package_root()
    folders = {path.parent for _, path in our_modules()}
    bare = sorted(str(f.relative_to(root)) for f in folders if not (f / "__init__.py").exists())
    assert not bare, f"no __init__.py, so they would be missing from the wheel: {bare}"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("agenticaiframework.actors.x", "from agenticaiframework.supervision import tree"),
        ("agenticaiframework.actors.x", "from agenticaiframework import Agent"),
        ("agenticaiframework.actors.x", "from agenticaiframework import patterns"),
        ("agenticaiframework.actors.x", "import agenticaiframework.patterns.engine"),
        ("agenticaiframework.actors.x", "from ..supervision import tree"),
        ("agenticaiframework.patterns.engine.x", "from ...actors import Actor"),
        ("agenticaiframework.supervision.x", "import actors"),
        ("agenticaiframework.supervision.x", "from patterns.engine import x"),
        (
            "agenticaiframework.supervision.x",
            "if TYPE_CHECKING:\n    from agenticaiframework.patterns import Team",
        ),
    ],
)
def test_the_check_catches(module: str, source: str) -> None:
    assert violations(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("agenticaiframework.patterns.engine.x", "from agenticaiframework.actors import Actor"),
        ("agenticaiframework.patterns.engine.x", "from ..expressions import parse"),
        ("agenticaiframework.cli.x", "from agenticaiframework.patterns import Engine"),
        ("agenticaiframework.models.x", "from .names import y\nimport json"),
    ],
)
def test_the_check_allows(module: str, source: str) -> None:
    assert not violations(source, module)
