"""One small, safe language for conditions and references.

``$classify.category != 'spam'``, ``input.priority == 'high'``, ``task.requires_research``:
comparisons, ``in``, ``and or not``, literals, and lookups in mappings and lists. Nothing else: no
calls, no attributes of Python objects, no arithmetic, no text substitution, so evaluating costs
time linear in the text and the values compared.

The parser is our own tokenizer and recursive descent. A whitelist over Python's ``ast`` lost:
``$a.b`` is no Python, ``ast.parse`` itself can exhaust memory or the stack on hostile text before
any whitelist looks at it, its errors speak of Python's grammar instead of ours, and a node that a
later Python adds would have to be refused by hand.

Text becomes closures once (``compile_expression`` keeps the last ones); evaluating is a few calls.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

from agenticaiframework.actors import AgenticError

MAX_LENGTH: Final = 2_000
"""Characters in one expression; a condition that needs more belongs into an agent."""

MAX_DEPTH: Final = 40
"""Brackets, lists and ``not`` inside one another; far below Python's own stack limit."""

MAX_DIGITS: Final = 40
"""Digits in one number, so that reading it stays cheap."""

_Evaluate = Callable[[Mapping[str, Any]], Any]


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


# --------------------------------------------------------------------------- references


class Missing:
    """The type of ``MISSING``: a lookup that found nothing, where ``None`` would be a value."""

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing()


def look_up(value: Any, key: str | int) -> Any:
    """Return a mapping's value or a list's item, or ``MISSING``; never an attribute.

    Where a mapping is needed, a text stands for ``{"result": text}``: so do plain answers of models.
    """
    if value.__class__ is dict or isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        found = fields.get(key, MISSING)
        if found is MISSING and isinstance(key, int):
            # JSON has no numbers as keys: what was 1 before a journal is "1" after it.
            found = fields.get(str(key), MISSING)
        return found
    if isinstance(value, (list, tuple)):
        if isinstance(key, str):
            if not (key.isascii() and key.isdigit() and len(key) <= 9):
                return MISSING
            key = int(key)
        items = cast("list[Any] | tuple[Any, ...]", value)
        return items[key] if -len(items) <= key < len(items) else MISSING
    if key == "result" and isinstance(value, str):
        return value
    return MISSING


@dataclass(frozen=True, slots=True)
class Reference:
    """A dotted path to a value.

    ``$classify.category`` has the root ``classify`` and the path ``("category",)``.
    """

    root: str
    path: tuple[str | int, ...] = ()

    def get(self, scope: Mapping[str, Any], default: Any = None) -> Any:
        """Return the value itself, no copy, no text; *default* where the path leads nowhere."""
        value = scope.get(self.root, MISSING)
        for key in self.path:
            if value is MISSING:
                return default
            value = look_up(value, key)
        return default if value is MISSING else value

    def __str__(self) -> str:
        head = self.root if _NAME.fullmatch(self.root) else f"[{_quote(self.root)}]"
        return "$" + head + "".join(_segment(key) for key in self.path)


def _segment(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _NAME.fullmatch(key) else f"[{_quote(key)}]"


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + '"'


# --------------------------------------------------------------------------- expressions


class Expression:
    """A checked expression; immutable, shared freely between threads and executions.

    ``names`` are the roots it refers to (``classify`` of ``$classify.category``), ``references``
    the whole paths, in the order of the text: what a definition checks before anything runs.
    """

    __slots__ = ("_evaluate", "names", "references", "text")

    def __init__(self, text: str, evaluate: _Evaluate, references: tuple[Reference, ...]) -> None:
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
        return _truth(self.text, self._evaluate(scope))

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
    parser = _Parser(text)
    evaluate = parser.whole()
    return Expression(text, evaluate, tuple(parser.references))


def parse_reference(text: str) -> Reference:
    """Return the reference that *text* is (``$step.key``, with or without the ``$``)."""
    parser = _Parser(text)
    return parser.whole_reference()


# --------------------------------------------------------------------------- tokens

_NAME: Final = re.compile(r"[^\W\d]\w*(?:-\w+)*")
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?!\w))
      | (?P<name>[^\W\d]\w*(?:-\w+)*)
      | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<op>==|!=|<=|>=|<|>|\(|\)|\[|\]|,|\.|\$)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES: Final = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "t": "\t", "r": "\r"}
_LITERALS: Final = {
    "true": True, "True": True, "false": False, "False": False,
    "none": None, "None": None, "null": None,
}  # fmt: skip
_KEYWORDS: Final = frozenset({"and", "or", "not", "in", "is", *_LITERALS})

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
class _Token:
    kind: str  # "number" | "name" | "string" | "op" | "end"
    text: str
    position: int


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or text.startswith(("===", "!==", "<>"), position):
            raise _unreadable(text, position)
        kind = match.lastgroup or "op"
        if kind != "space":
            tokens.append(_Token(kind, match.group(), position))
        position = match.end()
    tokens.append(_Token("end", "", len(text)))
    return tokens


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
            "this is no number",
            "Write it as 12, -3, 0.5 or 1e6; put texts in quotes.",
        )
    return ExpressionError(
        text, position, f"{character!r} has no meaning here", "Put texts in quotes: 'like this'."
    )


# --------------------------------------------------------------------------- operators


def _equal(text: str, position: int, left: Any, right: Any) -> bool:
    try:
        return bool(left == right)
    except Exception as error:
        raise ExpressionTypeError(
            text, position, f"{_kind(left)} cannot be compared with {_kind(right)}"
        ) from error


def _ordered(text: str, position: int, op: str, left: Any, right: Any) -> bool:
    # A missing field is neither before nor after anything, as in SQL: the rule does not hold.
    if left is None or right is None:
        return False
    try:
        if op == "<":
            return bool(left < right)
        if op == "<=":
            return bool(left <= right)
        if op == ">":
            return bool(left > right)
        return bool(left >= right)
    except Exception as error:
        raise ExpressionTypeError(
            text,
            position,
            f"{_kind(left)} cannot be put in order with {_kind(right)}",
            "Compare values of one type, or use '=='.",
        ) from error


def _contains(text: str, position: int, item: Any, container: Any) -> bool:
    if container is None:
        return False
    # Only plain containers: an iterator would be used up, an object's __contains__ may do anything.
    if isinstance(container, str):
        if item is None:
            return False
        if isinstance(item, str):
            return item in container
    elif isinstance(container, (Mapping, list, tuple, set, frozenset)):
        try:
            return item in container
        except Exception as error:
            raise ExpressionTypeError(
                text, position, f"{_kind(item)} cannot be searched in {_kind(container)}"
            ) from error
    raise ExpressionTypeError(
        text,
        position,
        f"{_kind(item)} cannot be searched in {_kind(container)}",
        "The right side of 'in' is a list, a text or a mapping.",
    )


def _kind(value: Any) -> str:
    if value is None:
        return "none"
    names: dict[Any, str] = {
        bool: "true/false",
        str: "a text",
        int: "a number",
        float: "a number",
        list: "a list",
    }
    return names.get(
        type(value), "a mapping" if isinstance(value, Mapping) else f"a {type(value).__name__}"
    )


def _compare(
    text: str, first: _Evaluate, rest: tuple[tuple[str, int, _Evaluate], ...]
) -> _Evaluate:
    """Return a comparison, chained as in Python: ``0 < x <= 1`` is ``0 < x and x <= 1``."""

    def check(op: str, position: int, left: Any, right: Any) -> bool:
        if op == "==":
            return _equal(text, position, left, right)
        if op == "!=":
            return not _equal(text, position, left, right)
        if op == "in":
            return _contains(text, position, left, right)
        if op == "not in":
            return not _contains(text, position, left, right)
        return _ordered(text, position, op, left, right)

    def evaluate(scope: Mapping[str, Any]) -> bool:
        left = first(scope)
        for op, position, operand in rest:
            right = operand(scope)
            if not check(op, position, left, right):
                return False
            left = right
        return True

    return evaluate


def _truth(text: str, value: Any) -> bool:
    try:
        return bool(value)
    except Exception as error:
        raise ExpressionTypeError(
            text, 0, f"{_kind(value)} is neither true nor false", "Compare it with something."
        ) from error


def _until(text: str, decisive: bool, operands: tuple[_Evaluate, ...]) -> _Evaluate:
    """Return ``or`` (*decisive* is true) or ``and``: the first decisive operand, else the last."""

    def evaluate(scope: Mapping[str, Any]) -> Any:
        value: Any = None
        for operand in operands:
            value = operand(scope)
            if _truth(text, value) is decisive:
                break
        return value

    return evaluate


def _constant(value: Any) -> _Evaluate:
    # A list is made anew each time: the caller may keep what it gets, and expressions are shared.
    if isinstance(value, list):
        items = tuple(_constant(item) for item in cast("list[Any]", value))
        return lambda scope: [item(scope) for item in items]
    return lambda scope: value


# --------------------------------------------------------------------------- grammar


class _Parser:
    """Reads one text from left to right.

    ::

        or         = and ("or" and)*
        and        = not ("and" not)*
        not        = "not" not | comparison
        comparison = operand (("==" | "!=" | "<" | "<=" | ">" | ">=" | ["not"] "in") operand)*
        operand    = literal | list | reference | "(" or ")"
        list       = "[" [literal ("," literal)* [","]] "]"
        reference  = ["$"] name ("." (name | digits) | "[" (string | integer) "]")*
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise ExpressionError(
                text,
                MAX_LENGTH,
                f"an expression has at most {MAX_LENGTH} characters, this one has {len(text)}",
                "Let an agent decide, and test the field it returns.",
            )
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0
        self.references: list[Reference] = []

    # ---- entry points

    def whole(self) -> _Evaluate:
        if self._here.kind == "end":
            raise self._error(
                "there is nothing to evaluate", "Write a condition: input.priority == 'high'."
            )
        evaluate = self._or()
        if self._here.kind != "end":
            raise self._after_operand()
        return evaluate

    def whole_reference(self) -> Reference:
        token = self._here
        if not (token.kind == "name" or token.text == "$"):
            raise self._error("this is no reference", "Write $input.field or $step.field.")
        reference = self._reference()
        if self._here.kind != "end":
            raise self._error(
                "a reference ends here, and something follows",
                "Write $step.field alone, or $$ for a plain '$'.",
            )
        return reference

    # ---- tokens

    @property
    def _here(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        if token.kind != "end":
            self._at += 1
        return token

    def _word(self, *words: str) -> bool:
        """Take the keyword if one of *words* stands here."""
        if self._here.kind == "name" and self._here.text in words:
            self._at += 1
            return True
        return False

    def _op(self, op: str) -> bool:
        if self._here.kind == "op" and self._here.text == op:
            self._at += 1
            return True
        return False

    def _error(self, problem: str, hint: str = "", at: _Token | None = None) -> ExpressionError:
        return ExpressionError(self._text, (at or self._here).position, problem, hint)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(
                f"more than {MAX_DEPTH} brackets or 'not's inside one another",
                "Let an agent decide, and test the field it returns.",
            )

    # ---- rules

    def _or(self) -> _Evaluate:
        operands = [self._and()]
        while self._word("or"):
            operands.append(self._and())
        return operands[0] if len(operands) == 1 else _until(self._text, True, tuple(operands))

    def _and(self) -> _Evaluate:
        operands = [self._not()]
        while self._word("and"):
            operands.append(self._not())
        return operands[0] if len(operands) == 1 else _until(self._text, False, tuple(operands))

    def _not(self) -> _Evaluate:
        if not self._word("not"):
            return self._comparison()
        self._deeper()
        operand = self._not()
        self._depth -= 1
        text = self._text
        return lambda scope: not _truth(text, operand(scope))

    def _comparison(self) -> _Evaluate:
        first = self._operand()
        rest: list[tuple[str, int, _Evaluate]] = []
        while (operator := self._comparator()) is not None:
            op, position = operator
            rest.append((op, position, self._operand()))
        return _compare(self._text, first, tuple(rest)) if rest else first

    def _comparator(self) -> tuple[str, int] | None:
        token = self._here
        if token.kind == "op" and token.text in ("==", "!=", "<", "<=", ">", ">="):
            self._at += 1
            return token.text, token.position
        if self._word("in"):
            return "in", token.position
        if self._word("not"):
            if not self._word("in"):
                raise self._error(
                    "'not' after a value needs 'in'", "Write 'x not in [...]' or 'a and not b'."
                )
            return "not in", token.position
        if token.kind == "name" and token.text == "is":
            raise self._error("'is' does not exist here", "Write '== none' or '!= none'.")
        return None

    def _operand(self) -> _Evaluate:
        token = self._here
        if (token.kind == "name" and token.text not in _KEYWORDS) or token.text == "$":
            reference = self._reference()
            self.references.append(reference)
            return reference.get
        if token.kind == "op" and token.text == "(":
            self._at += 1
            self._deeper()
            inner = self._or()
            self._depth -= 1
            if not self._op(")"):
                if self._here.kind == "end":
                    raise self._error("this bracket is never closed", "Add ')'.", at=token)
                raise self._after_operand()
            return inner
        if token.kind in ("number", "string") or token.text in _LITERALS or token.text == "[":
            return _constant(self._literal())
        if token.kind == "end":
            raise self._error("a value is missing at the end", "Add what to compare with.")
        raise self._error(
            f"a value must stand here, not {token.text!r}",
            "Write $step.field, 'text', 12, true or none.",
        )

    def _literal(self) -> Any:
        token = self._next()
        if token.kind == "number":
            return self._number(token)
        if token.kind == "string":
            return self._string(token)
        if token.kind == "name" and token.text in _LITERALS:
            return _LITERALS[token.text]
        if token.text == "[":
            return self._list(token)
        raise self._error(
            "a list holds only literals", "Put texts in quotes: ['a', 'b'].", at=token
        )

    def _list(self, opening: _Token) -> list[Any]:
        self._deeper()
        items: list[Any] = []
        while not self._op("]"):
            if self._here.kind == "end":
                raise self._error("this list is never closed", "Add ']'.", at=opening)
            items.append(self._literal())
            if not self._op(",") and self._here.text != "]" and self._here.kind != "end":
                raise self._error(
                    "a comma is missing between the items of a list", "Write ['a', 'b']."
                )
        self._depth -= 1
        return items

    def _number(self, token: _Token) -> int | float:
        if sum(c.isdigit() for c in token.text) > MAX_DIGITS:
            raise self._error(f"a number has at most {MAX_DIGITS} digits", at=token)
        if token.text.lstrip("-").isdigit():
            return int(token.text)
        number = float(token.text)
        if math.isinf(number):
            raise self._error("this number is too large", at=token)
        return number

    def _string(self, token: _Token) -> str:
        body = token.text[1:-1]
        if "\\" not in body:
            return body

        def unescape(match: re.Match[str]) -> str:
            plain = _ESCAPES.get(match.group(1))
            if plain is None:
                raise ExpressionError(
                    self._text,
                    token.position + 1 + match.start(),
                    f"{match.group()!r} is no escape",
                    "Write \\\\ for a backslash.",
                )
            return plain

        return re.sub(r"\\(.)", unescape, body, flags=re.DOTALL)

    def _reference(self) -> Reference:
        dollar = self._op("$")
        token = self._next()
        if token.kind == "name":
            root = token.text
        elif dollar and token.text == "[" and self._here.kind == "string":
            root = self._string(self._next())
            self._close_index(token)
        else:
            raise self._error(
                "a name must follow '$'", "Write $step.field or $input.field.", at=token
            )
        path: list[str | int] = []
        while True:
            opening = self._here
            if self._op("."):
                path.extend(self._fields())
            elif self._op("["):
                path.append(self._index())
                self._close_index(opening)
            elif opening.text == "(":
                raise self._error(
                    "nothing can be called here",
                    "Let an agent compute the value, and test the field it returns.",
                )
            else:
                return Reference(root, tuple(path))

    def _fields(self) -> list[str]:
        token = self._next()
        if token.kind == "name":
            return [token.text]
        # "$rows.0.1" holds what reads as the number 0.1.
        fields = token.text.split(".")
        if token.kind == "number" and all(field.isdigit() for field in fields):
            return fields
        raise self._error(
            "a field's name must follow '.'", 'Write $step.field or $step["any key"].', at=token
        )

    def _index(self) -> str | int:
        token = self._next()
        if token.kind == "string":
            return self._string(token)
        if token.kind == "number" and token.text.lstrip("-").isdigit() and len(token.text) < 10:
            return int(token.text)
        raise self._error(
            "only a quoted key or a whole number stands in [ ]",
            '$step["key"] or $step[0].',
            at=token,
        )

    def _close_index(self, opening: _Token) -> None:
        if not self._op("]"):
            raise self._error(
                "this '[' is never closed", 'Write $step["key"] or $step[0].', at=opening
            )

    def _after_operand(self) -> ExpressionError:
        token = self._here
        lowered = token.text.lower()
        if token.kind == "name" and lowered in ("and", "or", "not", "in"):
            return self._error(f"{token.text!r} is not an operator here", f"Write {lowered!r}.")
        if token.text == ")":
            return self._error("this ')' closes nothing", "Remove it, or add '(' before.")
        if token.kind == "number" and token.text.startswith("-"):
            return self._error(
                "arithmetic ('-') does not exist here", "Let an agent compute the value."
            )
        return self._error(
            f"an operator is missing before {token.text!r}",
            "Write ==, !=, <, <=, >, >=, in, not in, and, or between values.",
        )
