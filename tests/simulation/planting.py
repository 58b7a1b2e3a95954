"""Changes a piece of code inside a named function, wherever in a package the function stands.

A planted bug names a package, a function, and the code in it that changes, as Python: an expression
or some statements. Code is compared by what it says, not by how it is laid out, so that bugs survive
a formatter, moved functions and changed neighbours; and one that does not fit any more says why.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class DoesNotFit(Exception):
    """A planted bug's code does not stand in its function, or the function in its package."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One planted bug: in the function *where* (``package:name``), *old* becomes *new*.

    A method is ``package:Class.name``. *old* must stand there exactly once.
    """

    name: str
    where: str
    old: str
    new: str

    @property
    def package(self) -> str:
        """The folder below which the function stands."""
        return self.where.partition(":")[0]

    @property
    def function(self) -> str:
        """The name of the function in its file."""
        return self.where.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file the code of a planted bug stands: lines from 1, columns in bytes from 0."""

    path: Path
    begin: tuple[int, int]
    end: tuple[int, int]
    statements: bool


def functions(tree: ast.Module, name: str) -> Iterator[_Function]:
    """Yield the functions of a file that are called *name*, with their class if they have one."""

    def walk(node: ast.AST, path: str) -> Iterator[_Function]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | _Function):
                inner = f"{path}.{child.name}" if path else child.name
                if inner == name and not isinstance(child, ast.ClassDef):
                    yield child
                yield from walk(child, inner)
            else:
                yield from walk(child, path)

    yield from walk(tree, "")


def _said(nodes: list[ast.stmt] | list[ast.expr]) -> list[str]:
    return [ast.dump(node) for node in nodes]


def _bodies(function: _Function) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(function):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list):
                yield body


def _expression(code: str) -> ast.expr | None:
    """Return *code* as an expression, if it is one."""
    body = ast.parse(textwrap.dedent(code)).body
    return body[0].value if len(body) == 1 and isinstance(body[0], ast.Expr) else None


def _matches(function: _Function, old: str, new: str) -> Iterator[tuple[ast.AST, ast.AST, bool]]:
    """Yield the first and the last node of each place where *old* stands in *function*."""
    expression = _expression(old)
    wanted = ast.parse(textwrap.dedent(old)).body
    if expression is not None and _expression(new) is not None:
        said = ast.dump(expression)
        for node in ast.walk(function):
            if isinstance(node, ast.expr) and ast.dump(node) == said:
                yield node, node, False
        return
    said_all = _said(wanted)
    for body in _bodies(function):
        for start in range(len(body) - len(wanted) + 1):
            if _said(body[start : start + len(wanted)]) == said_all:
                yield body[start], body[start + len(wanted) - 1], True


def find(mutation: Mutation, root: Path) -> Place:
    """Return where the code of *mutation* stands below *root*. Raises `DoesNotFit`."""
    start = root / mutation.package
    files = [start.with_suffix(".py")] if start.with_suffix(".py").is_file() else []
    files += sorted(start.rglob("*.py"))
    found: list[Place] = []
    seen = 0
    for path in files:
        source = path.read_text(encoding="utf-8")
        if mutation.function.rpartition(".")[2] not in source:
            continue
        for function in functions(ast.parse(source), mutation.function):
            seen += 1
            for first, last, statements in _matches(function, mutation.old, mutation.new):
                found.append(
                    Place(
                        path,
                        (first.lineno, first.col_offset),  # type: ignore[attr-defined]
                        (last.end_lineno, last.end_col_offset),  # type: ignore[attr-defined]
                        statements,
                    )
                )
    if not seen:
        raise DoesNotFit(f"{mutation.name!r}: no function {mutation.function} in {start}")
    if len(found) != 1:
        raise DoesNotFit(
            f"{mutation.name!r}: its code stands {len(found)} times in {mutation.where}, and must "
            f"stand there once:\n{textwrap.indent(textwrap.dedent(mutation.old), '    ')}"
        )
    return found[0]


def planted(mutation: Mutation, root: Path) -> tuple[Path, str]:
    """Return the file of *mutation* and its source with the bug in it. Raises `DoesNotFit`."""
    place = find(mutation, root)
    lines = place.path.read_bytes().splitlines(keepends=True)
    (first, begin), (last, end) = place.begin, place.end
    before = b"".join(lines[: first - 1]) + lines[first - 1][:begin]
    after = lines[last - 1][end:] + b"".join(lines[last:])
    new = textwrap.dedent(mutation.new).strip("\n")
    if place.statements:
        new = textwrap.indent(new or "pass", " " * begin).lstrip(" ")
    else:
        new = f"({new})"
    source = (before + new.encode() + after).decode()
    compile(source, str(place.path), "exec")
    return place.path, source


def plant(mutation: Mutation, root: Path) -> None:
    """Plant the bug in the files below *root*."""
    path, source = planted(mutation, root)
    path.write_text(source, encoding="utf-8")
