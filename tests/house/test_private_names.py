"""A private name is used in the package that defines it, and nowhere else."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator

import pytest
from library_files import Library, Module, library, planted, short


def is_private(name: str) -> bool:
    return name.startswith("_") and name != "_" and not name.startswith("__")


def defined(module: Module) -> Iterator[str]:
    """Yield the names that *module* gives to anything: also slots, and attributes of `self`."""
    for node in module.nodes:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(value=ast.Name(id="self" | "cls"), ctx=ast.Store()):
                yield node.attr
            case ast.Assign(targets=[ast.Name(id="__slots__")]):
                for part in ast.walk(node.value):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield part.value


def used(module: Module) -> Iterator[tuple[int, str]]:
    """Yield the private names that *module* uses of others, with their lines."""
    foreign = {
        alias.asname or alias.name
        for node in module.nodes
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.partition(".")[0] in sys.stdlib_module_names
    }
    for node in module.nodes:
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue  # its own, or inherited
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super"))):
                continue
            case ast.Attribute(value=ast.Name(id=name)) if name in foreign:
                continue  # `os._exit` is no name of ours
            case ast.Attribute(attr=name) if is_private(name):
                yield node.lineno, name
            case ast.ImportFrom(names=names):
                for alias in names:
                    if is_private(alias.name):
                        yield node.lineno, alias.name


def package(module: Module) -> str:
    return module.package


def trespasses(modules: Library, room: Callable[[Module], str] = package) -> list[str]:
    """Return the uses of private names outside the *room* of the module that defines them."""
    names: dict[str, set[str]] = {}
    for module in modules.values():
        names.setdefault(room(module), set()).update(defined(module))
    return [
        f"{short(module.name)}:{line} uses {name}"
        for module in modules.values()
        for line, name in used(module)
        if name not in names[room(module)]
    ]


def test_a_private_name_is_used_in_the_package_that_defines_it() -> None:
    said = trespasses(library())
    assert not said, "\n".join(said)


@pytest.mark.parametrize(
    "source",
    [
        "from .kernel.cell import _wake",
        "from . import kernel\nkernel.cell._wake()",
        "def f(ref):\n    return ref._phase",
        "def f(ref):\n    ref._phase = 1",
        "class A:\n    def f(self):\n        return self.ref._phase",
    ],
)
def test_a_use_from_outside_is_found(source: str) -> None:
    modules = planted(
        actors__x=source, actors__kernel__cell="class Cell:\n    __slots__ = ('_phase',)"
    )
    assert trespasses(modules)


@pytest.mark.parametrize(
    "source",
    [
        "from .cell import _wake",
        "def f(ref):\n    ref._phase = 1",
        "import os\nos._exit(1)",
        "class A:\n    def f(self):\n        return self._inherited",
        "class A:\n    def f(self):\n        return super()._inherited",
    ],
)
def test_a_use_inside_is_allowed(source: str) -> None:
    cell = "class Cell:\n    __slots__ = ('_phase',)\ndef _wake(): ..."
    assert not trespasses(planted(actors__kernel__x=source, actors__kernel__cell=cell))
