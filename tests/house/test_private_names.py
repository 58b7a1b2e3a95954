"""A private name is used in the package that defines it, and nowhere else."""

from __future__ import annotations

import ast
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
    for node in module.nodes:
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue  # its own, or inherited
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super"))):
                continue
            case ast.Attribute(attr=name) if is_private(name):
                yield node.lineno, name
            case ast.ImportFrom(names=names):
                for alias in names:
                    if is_private(alias.name):
                        yield node.lineno, alias.name


def package(module: Module) -> str:
    return module.package


def trespasses(modules: Library, room: Callable[[Module], str] = package) -> list[str]:
    """Return the uses of private names of ours outside the *room* of the module that defines them."""
    names: dict[str, set[str]] = {}
    for module in modules.values():
        names.setdefault(room(module), set()).update(defined(module))
    ours = set[str]().union(*names.values())
    return [
        f"{short(module.name)}:{line} uses {name}"
        for module in modules.values()
        for line, name in used(module)
        if name in ours and name not in names[room(module)]
    ]


# Python's documentation has them, with the underscore.
DOCUMENTED = {"_asdict", "_current_frames", "_exit", "_fields", "_getframe", "_replace"}

# Where private names of other projects are used, each marked there with why.
SEAMS = {
    "actors.kernel.pykka_seam": "pykka",
    "actors.kernel.request": "asyncio: the running loop, asked for on a hot path",
    "actors.kernel.task": "asyncio: the current task",
    "actors.simulation": "asyncio, whose loop is simulated",
    "models.scripted.chat": "pydantic-ai: the parts of a stream, which takes no usage but its own",
    "testing.faulty_models": "pydantic-ai: where a stream keeps its events",
}


def foreign(modules: Library) -> list[str]:
    """Return the uses of private names of other projects outside the files that are for that."""
    ours = {name for module in modules.values() for name in defined(module)} | DOCUMENTED
    return [
        f"{short(module.name)}:{line} uses {name}"
        for module in modules.values()
        for line, name in used(module)
        if name not in ours and not short(module.name).startswith(tuple(SEAMS))
    ]


def test_a_private_name_is_used_in_the_package_that_defines_it() -> None:
    said = trespasses(library())
    assert not said, "\n".join(said)


def test_a_private_name_of_another_project_is_used_in_few_files() -> None:
    said = foreign(library())
    assert not said, "\n".join(said)


def test_a_private_name_of_another_project_is_found() -> None:
    source = "import os\nimport pykka\ndef f(): pykka.ActorRegistry._actor_refs\nos._exit(1)"
    assert foreign(planted(actors__ref=source)) == ["actors.ref:3 uses _actor_refs"]
    assert not foreign(planted(actors__kernel__pykka_seam=source))


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
    cell = "class Cell:\n    __slots__ = ('_phase',)\ndef _wake(): ..."
    modules = planted(actors__x=source, actors__kernel__cell=cell)
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
