"""One small, safe language for conditions and references.

``$classify.category != 'spam'``, ``input.priority == 'high'``, ``task.requires_research``:
comparisons, ``in``, ``and or not``, literals, and lookups in mappings and lists. Nothing else: no
calls, no attributes of Python objects, no arithmetic, no text substitution, so evaluating costs
time linear in the text and the values compared.

Text becomes closures once (``compile_expression`` keeps the last ones); evaluating is a few calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from .errors import ExpressionError
from .operators import Evaluate, truth
from .parser import Parser
from .reference import Reference


class Expression:
    """A checked expression; immutable, shared freely between threads and executions.

    ``names`` are the roots it refers to (``classify`` of ``$classify.category``), ``references``
    the whole paths, in the order of the text: what a definition checks before anything runs.
    """

    __slots__ = ("_evaluate", "names", "references", "text")

    def __init__(self, text: str, evaluate: Evaluate, references: tuple[Reference, ...]) -> None:
        self.text: Final = text
        self.references: Final = references
        self.names: Final = tuple(dict.fromkeys(reference.root for reference in references))
        self._evaluate: Final = evaluate

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """Return the expression's value over *scope*; a missing field reads as ``None``.

        ``and`` and ``or`` give the deciding operand, as in Python. Raises ``ExpressionTypeError``
        when values of unlike types are put in order (``'ten' > 3``); ``==`` between unlike types
        is false, and nothing comes before or after ``None``.
        """
        return self._evaluate(scope)

    def test(self, scope: Mapping[str, Any]) -> bool:
        """Return whether the expression holds over *scope*."""
        return truth(self.text, self._evaluate(scope))

    def __repr__(self) -> str:
        return f"compile_expression({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple[Callable[[str], Expression], tuple[str]]:
        return compile_expression, (self.text,)


def compile_expression(text: str) -> Expression:
    """Return *text* as an expression; raises ``ExpressionError`` that shows where it is wrong.

    >>> compile_expression("$classify.category != 'spam'").test({"classify": {"category": "order"}})
    True
    >>> compile_expression("input.score >= 0.5").evaluate({"input": {"score": 0.7}})
    True
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ExpressionError(
            repr(text), 0, f"an expression is a text, not a {type(text).__name__}"
        )
    return _compile(text)


@lru_cache(maxsize=1024)
def _compile(text: str) -> Expression:
    parser = Parser(text)
    evaluate = parser.whole()
    return Expression(text, evaluate, tuple(parser.references))


def parse_reference(text: str) -> Reference:
    """Return the reference that *text* is (``$step.key``, with or without the ``$``)."""
    parser = Parser(text)
    return parser.whole_reference()
