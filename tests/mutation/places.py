"""Where in a file bugs are planted, and where not: types, docstrings, log and error texts, asserts."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

LOG_METHODS = (
    "trace",
    "debug",
    "info",
    "success",
    "warning",
    "error",
    "exception",
    "critical",
    "log",
)
NOT_BEHAVIOUR = ("__repr__", "__rich_repr__", "__class_getitem__")
NOT_BEHAVIOUR_NAMES = ("__all__", "__slots__", "__match_args__", "model_config")
# Keywords of calls that say how strict a check is, or what a generated class looks like.
NOT_BEHAVIOUR_KEYWORDS = ("strict", "frozen", "slots", "kw_only", "repr", "compare", "stacklevel")

Spot = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Place:
    """What surrounds a position: the function's qualified name, and lines to look up tests by."""

    function: str
    statement: range
    body: range
    outer: str
    """The outermost function in whose body it is; "" outside of functions and in signatures."""


class Places:
    """The places of one file."""

    def __init__(self, source: str) -> None:
        self._tree = ast.parse(source)
        self._lines = source.splitlines()
        self._skipped = list(self._skip(self._tree))
        self._scopes: list[tuple[str, ast.AST]] = list(_scopes(self._tree, ""))
        self._statements = [node for node in ast.walk(self._tree) if isinstance(node, ast.stmt)]

    def is_skipped(self, start: Spot) -> bool:
        """Say whether nothing is planted at *start*."""
        return any(first <= start < last for first, last in self._skipped)

    def at(self, start: Spot) -> Place:
        """Return what surrounds *start*."""
        statement = range(start[0], start[0] + 1)
        for node in self._statements:
            found = _own_lines(node)
            if start[0] in found and len(found) <= _span(statement, start[0]):
                statement = found
        function = "<module>"
        body = range(1, len(self._lines) + 1)
        for name, scope in self._scopes:
            lines = range(scope.lineno, (scope.end_lineno or 0) + 1)  # type: ignore[attr-defined]
            if start[0] in lines and len(lines) <= len(body):
                function, body = name, lines
        return Place(function, statement, body, self._outer(start[0]))

    def _outer(self, line: int) -> str:
        for name, scope in self._scopes:
            if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if scope.body[0].lineno <= line <= (scope.end_lineno or 0):
                return name
        return ""

    # -- what is left out -------------------------------------------------------------------------

    def _skip(self, tree: ast.AST) -> Iterator[tuple[Spot, Spot]]:
        for node in ast.walk(tree):
            for skipped in _not_behaviour(node):
                yield self._extent(skipped)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                for decorator in node.decorator_list:
                    yield self._extent(decorator)

    def _extent(self, node: ast.AST) -> tuple[Spot, Spot]:
        first = (node.lineno, self._column(node.lineno, node.col_offset))  # type: ignore[attr-defined]
        line, offset = node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]
        return first, (line, self._column(line, offset))

    def _column(self, line: int, offset: int) -> int:
        text = self._lines[line - 1]
        return offset if text.isascii() else len(text.encode()[:offset].decode())


def _not_behaviour(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of *node* in which nothing is planted."""
    match node:
        case ast.arg(annotation=ast.expr() as annotation):
            yield annotation
        case ast.AnnAssign(annotation=annotation):
            yield annotation
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            yield node
        case ast.Assert() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            yield node
        case ast.ClassDef(bases=bases) if any("Protocol" in ast.dump(base) for base in bases):
            yield node
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            if node.name in NOT_BEHAVIOUR or _is_declaration(node):
                yield node
            elif node.returns is not None:
                yield node.returns
        case ast.Raise(exc=ast.Call(args=args, keywords=keywords), cause=cause):
            yield from args
            yield from keywords
            if cause is not None:
                yield cause
        case ast.Call(func=ast.Attribute(value=base, attr=attr)) if (
            attr in LOG_METHODS and "log" in ast.unparse(base).lower()
        ):
            yield from node.args
            yield from node.keywords
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")))):
            # The text of an error.
            yield from node.args
        case ast.keyword(arg=str(name)) if name in NOT_BEHAVIOUR_KEYWORDS:
            yield node
        case ast.Assign(targets=[ast.Name(id=name)]) if name in NOT_BEHAVIOUR_NAMES:
            yield node
        case _:
            pass


def _is_declaration(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Say whether *node* is an overload or has no body of its own."""
    if any("overload" in ast.dump(decorator) for decorator in node.decorator_list):
        return True
    body = [
        s for s in node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
    ]
    return not body or all(
        isinstance(s, ast.Raise) and "NotImplementedError" in ast.dump(s) for s in body
    )


def _scopes(node: ast.AST, outside: str) -> Iterator[tuple[str, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{outside}.{child.name}".lstrip(".")
            yield name, child
            yield from _scopes(child, name)
        else:
            yield from _scopes(child, outside)


def _own_lines(node: ast.stmt) -> range:
    """Return the lines of a statement, of one with a body those of its head."""
    end = node.end_lineno or node.lineno
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    if body:
        first = body[0]
        start = first.lineno if hasattr(first, "lineno") else first.pattern.lineno
        end = max(node.lineno, start - 1)
    return range(node.lineno, end + 1)


def _span(lines: range, line: int) -> int:
    return len(lines) if len(lines) > 1 or line not in lines else 10_000
