"""What a module offers, read from its source: nothing of it runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    """A module's file, and the names that it defines: which of them are ``async`` functions."""

    file: Path
    names: dict[str, bool]
    complete: bool
    """Whether these are all: a module may take others' names in with ``*``, or make them."""


def find_file(module: str, folder: Path, packages: Sequence[str]) -> Path | None:
    """Return the file of *module*, in *folder* or in one of *packages* on the path; None if there is none.

    Imports nothing, also no package around the module.
    """
    parts = module.split(".")
    here = folder.joinpath(*parts)
    for file in (here.with_suffix(".py"), here / "__init__.py"):
        if file.is_file():
            return file
    if parts[0] not in packages:
        return None
    places: Sequence[str] | None = None
    for number in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: number + 1]), places)
        if spec is None:
            return None
        if number == len(parts) - 1:
            return Path(spec.origin) if spec.has_location and spec.origin else None
        places = list(spec.submodule_search_locations or ())
    return None


def read_names(file: Path) -> Source:
    """Return what the module in *file* defines; raises SyntaxError, OSError, ValueError."""
    tree = ast.parse(file.read_bytes(), str(file))
    names: dict[str, bool] = {}
    complete = True
    for statement in _statements(tree.body):
        if isinstance(statement, ast.AsyncFunctionDef):
            names[statement.name] = True
        elif isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            if statement.name == "__getattr__":
                complete = False
            names[statement.name] = False
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            for alias in statement.names:
                complete = complete and alias.name != "*"
                names[alias.asname or alias.name.partition(".")[0]] = False
        else:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    names[node.id] = False
    return Source(file, names, complete)


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, and those inside its ``if`` and ``try``."""
    for statement in body:
        yield statement
        if isinstance(statement, (ast.If, ast.Try, ast.With)):
            for part in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(statement, part, ()))
            for handler in getattr(statement, "handlers", ()):
                yield from _statements(handler.body)
