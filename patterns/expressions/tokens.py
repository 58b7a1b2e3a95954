"""The words of an expression, and what people write that is none of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .errors import ExpressionError

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?!\w))
      | (?P<name>[^\W\d]\w*(?:-\w+)*)
      | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<op>==|!=|<=|>=|<|>|\(|\)|\[|\]|,|\.|\$)
    """,
    re.VERBOSE | re.DOTALL,
)
ESCAPES: Final = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "t": "\t", "r": "\r"}
LITERALS: Final = {
    "true": True, "True": True, "false": False, "False": False,
    "none": None, "None": None, "null": None,
}  # fmt: skip
KEYWORDS: Final = frozenset({"and", "or", "not", "in", "is", *LITERALS})

# What people write from the habit of another language, and what works here.
_FOREIGN: Final = (
    ("===", "'===' is not a comparison here", "Write '=='."),
    ("!==", "'!==' is not a comparison here", "Write '!='."),
    ("<>", "'<>' is not a comparison here", "Write '!='."),
    ("=~", "patterns cannot be matched here", "Let an agent decide, and test its field."),
    ("=", "'=' does not compare", "Write '=='."),
    ("&&", "'&&' is not an operator here", "Write 'and'."),
    ("||", "'||' is not an operator here", "Write 'or'."),
    ("!", "'!' is not an operator here", "Write 'not'."),
    ("{", "a mapping cannot be written here", "Compare its fields one by one."),
    ("|", "filters do not exist here", "Let an agent compute the value, and test its field."),
)  # fmt: skip
_ARITHMETIC: Final = frozenset("+-*/%^@&~")


@dataclass(frozen=True, slots=True)
class Token:
    kind: str  # "number" | "name" | "string" | "op" | "end"
    text: str
    position: int


def tokens_of(text: str) -> list[Token]:
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or text.startswith(("===", "!==", "<>"), position):
            raise _unreadable(text, position)
        kind = match.lastgroup or "op"
        if kind != "space":
            found.append(Token(kind, match.group(), position))
        position = match.end()
    found.append(Token("end", "", len(text)))
    return found


def _unreadable(text: str, position: int) -> ExpressionError:
    for written, problem, hint in _FOREIGN:
        if text.startswith(written, position):
            return ExpressionError(text, position, problem, hint)
    character = text[position]
    if character in "'\"":
        return ExpressionError(
            text, position, "this text is never closed", f"Add {character} at its end."
        )
    if character in _ARITHMETIC:
        return ExpressionError(
            text,
            position,
            f"arithmetic ({character!r}) does not exist here",
            "Let an agent compute the value, and compare its field.",
        )
    if character.isdigit():
        return ExpressionError(
            text,
            position,
            "this is not a number",
            "Write it as 12, -3, 0.5 or 1e6; put texts in quotes.",
        )
    return ExpressionError(
        text, position, f"{character!r} has no meaning here", "Put texts in quotes: 'like this'."
    )
