"""The grammar of expressions, read by recursive descent.

A whitelist over Python's ``ast`` lost: ``$a.b`` is not Python, ``ast.parse`` itself can exhaust memory
or the stack on hostile text before any whitelist looks at it, its errors speak of Python's grammar
instead of ours, and a node that a later Python adds would have to be refused by hand.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

from .errors import ExpressionError
from .operators import Evaluate, compare, constant, truth, until
from .reference import Reference
from .tokens import ESCAPES, KEYWORDS, LITERALS, Token, tokens_of

MAX_LENGTH: Final = 2_000
"""Characters in one expression; a condition that needs more belongs into an agent."""

MAX_DEPTH: Final = 40
"""Brackets, lists and ``not`` inside one another; far below Python's own stack limit."""

MAX_DIGITS: Final = 40
"""Digits in one number, so that reading it stays cheap."""


LITERAL_INDEX: Final = 'Write $step["key"] or $step[0].'
COMPUTED_INDEX: Final = (
    "A reference cannot be an index: give both to a step with a handler, "
    'input={"items": "$jokes", "index": "$best"}, which returns items[index].'
)


class Parser:
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
        self._tokens = tokens_of(text)
        self._at = 0
        self._depth = 0
        self.references: list[Reference] = []

    # ---- entry points

    def whole(self) -> Evaluate:
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
            raise self._error("this is not a reference", "Write $input.field or $step.field.")
        reference = self._reference()
        if self._here.kind != "end":
            raise self._error(
                "a reference ends here, and something follows",
                "Write $step.field alone, or $$ for a plain '$'.",
            )
        return reference

    # ---- tokens

    @property
    def _here(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
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

    def _error(self, problem: str, hint: str = "", at: Token | None = None) -> ExpressionError:
        return ExpressionError(self._text, (at or self._here).position, problem, hint)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(
                f"more than {MAX_DEPTH} brackets or 'not's inside one another",
                "Let an agent decide, and test the field it returns.",
            )

    # ---- rules

    def _or(self) -> Evaluate:
        operands = [self._and()]
        while self._word("or"):
            operands.append(self._and())
        return operands[0] if len(operands) == 1 else until(self._text, True, tuple(operands))

    def _and(self) -> Evaluate:
        operands = [self._not()]
        while self._word("and"):
            operands.append(self._not())
        return operands[0] if len(operands) == 1 else until(self._text, False, tuple(operands))

    def _not(self) -> Evaluate:
        if not self._word("not"):
            return self._comparison()
        self._deeper()
        operand = self._not()
        self._depth -= 1
        text = self._text
        return lambda scope: not truth(text, operand(scope))

    def _comparison(self) -> Evaluate:
        first = self._operand()
        rest: list[tuple[str, int, Evaluate]] = []
        while (operator := self._comparator()) is not None:
            op, position = operator
            rest.append((op, position, self._operand()))
        return compare(self._text, first, tuple(rest)) if rest else first

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

    def _operand(self) -> Evaluate:
        token = self._here
        if (token.kind == "name" and token.text not in KEYWORDS) or token.text == "$":
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
        if token.kind in ("number", "string") or token.text in LITERALS or token.text == "[":
            return constant(self._literal())
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
        if token.kind == "name" and token.text in LITERALS:
            return LITERALS[token.text]
        if token.text == "[":
            return self._list(token)
        raise self._error(
            "a list holds only literals", "Put texts in quotes: ['a', 'b'].", at=token
        )

    def _list(self, opening: Token) -> list[Any]:
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

    def _number(self, token: Token) -> int | float:
        if sum(c.isdigit() for c in token.text) > MAX_DIGITS:
            raise self._error(f"a number has at most {MAX_DIGITS} digits", at=token)
        if token.text.lstrip("-").isdigit():
            return int(token.text)
        number = float(token.text)
        if math.isinf(number):
            raise self._error("this number is too large", at=token)
        return number

    def _string(self, token: Token) -> str:
        body = token.text[1:-1]
        if "\\" not in body:
            return body

        def unescape(match: re.Match[str]) -> str:
            plain = ESCAPES.get(match.group(1))
            if plain is None:
                raise ExpressionError(
                    self._text,
                    token.position + 1 + match.start(),
                    f"{match.group()!r} is not an escape",
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
        hint = (
            f'Write $step["{token.text}"] or $step[0].' if token.kind == "name" else LITERAL_INDEX
        )
        if token.text == "$":
            hint = COMPUTED_INDEX
        raise self._error("only a quoted key or a whole number stands in [ ]", hint, at=token)

    def _close_index(self, opening: Token) -> None:
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
