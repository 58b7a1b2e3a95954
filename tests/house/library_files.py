"""The library's files as the tests of the house read them: with `ast`, nothing is imported."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

NAME = "agenticaiframework"
ROOT = Path(__file__).parents[2]

# Deepest first; the top one is the package itself.
LAYERS = ("actors", "supervision", "patterns")


@dataclass(frozen=True)
class Module:
    """One file: its dotted name, whether it is a package's `__init__`, and its text."""

    name: str
    is_package: bool
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        return tuple(ast.walk(self.tree))

    def forget(self) -> None:
        """Let go of what was made of the text, until it is asked for again."""
        for made in ("tree", "nodes"):
            self.__dict__.pop(made, None)

    @property
    def package(self) -> str:
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @property
    def layer(self) -> str:
        return layer_of(self.name)

    @property
    def exported(self) -> tuple[str, ...]:
        """The names in `__all__`, which is always a plain list here."""
        for node in self.tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
                assert isinstance(node, ast.Assign)
                return tuple(ast.literal_eval(node.value))
        return ()


@dataclass(frozen=True)
class Import:
    """One name of one import statement: ``from target import member``, or ``import target``."""

    line: int
    target: str
    member: str | None
    relative: bool


Library = Mapping[str, Module]


def layer_of(module: str) -> str:
    """Return the layer of a module of ours: the folder's name, or the package for the top one."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in LAYERS else NAME


def package_root() -> Path:
    import agenticaiframework

    return Path(next(iter(agenticaiframework.__path__)))


@cache
def library() -> Library:
    """Return every module of the installed library by its name."""
    return read_library(package_root())


def read_library(root: Path) -> Library:
    """Return every module under *root*, the folder of the package, by its name."""
    # Links are followed: an installation for development may consist of them.
    folders = os.walk(root, followlinks=True)
    found: dict[str, Module] = {}
    for path in sorted(Path(d, f) for d, _, files in folders for f in files if f.endswith(".py")):
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join((NAME, *(parts[:-1] if is_package else parts)))
        found[name] = Module(name, is_package, path.read_text("utf-8"))
    return found


def planted(**sources: str) -> Library:
    """Return a library of made-up modules: ``actors__kernel__x="source"``; ``...__init`` a package."""
    found: dict[str, Module] = {}
    for key, text in sources.items():
        parts = key.split("__")
        is_package = parts[-1] == "init"
        name = ".".join((NAME, *(parts[:-1] if is_package else parts)))
        found[name] = Module(name, is_package, text)
    return found


def imports(module: Module) -> Iterator[Import]:
    """Yield every import of *module*, those for typing and those in functions too."""
    parts = module.package.split(".")
    for node in module.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, None, False)
        elif isinstance(node, ast.ImportFrom):
            target = node.module or ""
            if node.level:
                base = parts[: len(parts) - (node.level - 1)]
                target = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                yield Import(node.lineno, target, alias.name, bool(node.level))


def arrows(modules: Library) -> dict[str, dict[str, int]]:
    """Return for each module the modules of ours that it imports, with the first line that does."""
    found: dict[str, dict[str, int]] = {}
    for module in modules.values():
        goals = found.setdefault(module.name, {})
        for said in imports(module):
            # `from package import module` is an arrow to the module.
            for goal in (f"{said.target}.{said.member}", said.target):
                if goal in modules:
                    if goal != module.name:
                        goals.setdefault(goal, said.line)
                    break
    return found


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the groups of modules that reach each other (Tarjan's strongly connected ones)."""
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


def short(module: str) -> str:
    return module.removeprefix(f"{NAME}.")
