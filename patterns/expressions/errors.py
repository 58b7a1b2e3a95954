"""What is wrong with an expression, shown at its place in the text."""

from __future__ import annotations

from agenticaiframework.actors import AgenticError


class ExpressionError(AgenticError, ValueError):
    """An expression cannot be read, or cannot be evaluated over the values it was given.

    ``text`` is the whole expression, ``position`` the character (from 0) where it goes wrong.
    """

    def __init__(self, text: str, position: int, problem: str, hint: str = "") -> None:
        shown, caret = _excerpt(text, position)
        advice = f" {hint}" if hint else ""
        super().__init__(
            f"Bad expression, column {position + 1}: {problem}.{advice}\n    {shown}\n    {caret}"
        )
        self.text = text
        self.position = position
        self.problem = problem
        self.hint = hint


class ExpressionTypeError(ExpressionError):
    """Two values were put in order, or searched in one another, whose types do not allow it."""


def _excerpt(text: str, position: int) -> tuple[str, str]:
    """Return the part of *text* around *position* on one line, and a line with a caret under it."""
    begin = max(0, position - 60)
    shown = "".join(c if c.isprintable() else "·" for c in text[begin : position + 40])
    return shown, " " * (position - begin) + "^"
