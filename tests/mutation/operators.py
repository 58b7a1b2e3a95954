"""The mutation operators: what people get wrong in one line.

Those of cosmic-ray that fit, and more of the same kind: a dropped statement, a returned value or an
operand left out, arguments swapped, a function taken for its opposite.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import parso
from cosmic_ray.operators import (
    binary_operator_replacement,
    boolean_replacer,
    break_continue,
    comparison_operator_replacement,
    number_replacer,
    unary_operator_replacement,
    zero_iteration_for_loop,
)
from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import Name

Position = tuple[tuple[int, int], tuple[int, int]]

OPPOSITES = {
    "all": "any",
    "any": "all",
    "appendleft": "append",
    "extendleft": "extend",
    "max": "min",
    "min": "max",
    "popleft": "pop",
}

# What the operators for comparisons turn already.
TURNED = (["=="], ["!="], ["is"], ["is", "not"], ["in"], ["not", "in"])


def replaced(node: Any, text: str) -> Any:
    """Return *text* as a node that stands where *node* stood, after the same white space."""
    return Name(text, node.start_pos, prefix=node.get_first_leaf().prefix)


class InvertCondition(Operator):
    """Turns a condition round that has no comparison or `not` of its own to turn."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        condition = self._condition(node)
        if condition is None or condition.type == "not_test":
            return
        compared = condition.children if condition.type == "comparison" else ()
        if len(compared) != 3 or compared[1].get_code().split() not in TURNED:
            yield condition.start_pos, condition.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        condition = self._condition(node)
        text = condition.get_code().strip()
        simple = condition.type in ("name", "atom", "atom_expr", "power")
        turned = replaced(condition, f"not {text}" if simple else f"not ({text})")
        node.children[node.children.index(condition)] = turned
        return node

    @staticmethod
    def _condition(node: Any) -> Any:
        if node.type in ("if_stmt", "while_stmt"):
            return node.children[1]
        if node.type == "ternary" or (node.type == "test" and len(node.children) == 5):
            return node.children[2]
        if node.type in ("comp_if", "sync_comp_if"):
            return node.children[1]
        return None

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("if x: pass", "if not x: pass"),
            Example("while x and y: pass", "while not (x and y): pass"),
            Example("a = b if c.d() else e", "a = b if not c.d() else e"),
            Example("a = [b for b in c if b]", "a = [b for b in c if not b]"),
        )


class DropStatement(Operator):
    """Leaves out a statement: a call, an assignment, a `del`, a `raise`, a bare `return`.

    An assignment that gives a local name its first value is not left out: that is never overlooked.
    """

    kinds = ("expr_stmt", "atom_expr", "await", "power", "del_stmt", "raise_stmt")

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if node.type in self.kinds or (
            node.type == "keyword" and node.value in ("return", "raise")
        ):
            parent = node.parent
            alone = parent is not None and parent.type == "simple_stmt"
            if alone and parent.children[0] is node and _in_function(node) and not _is_first(node):
                yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return replaced(node, "pass")

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("def f():\n    g()\n", "def f():\n    pass\n"),
            Example("def f(x):\n    x.y = 1\n    h()\n", "def f(x):\n    pass\n    h()\n"),
            Example("def f():\n    x = 1\n    x = 2\n", "def f():\n    x = 1\n    pass\n"),
            Example(
                "def f(x):\n    if x:\n        return\n", "def f(x):\n    if x:\n        pass\n"
            ),
        )


class DropReturnedValue(Operator):
    """Returns None in place of a value."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if node.type == "return_stmt" and node.children[1].get_code().strip() != "None":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return replaced(node, "return None")

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("def f():\n    return 1\n", "def f():\n    return None\n"),)


class DropOperand(Operator):
    """Leaves out one side of `and` or `or`."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if node.type in ("and_test", "or_test"):
            for child in node.children[::2]:
                yield child.start_pos, child.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        operands = [child.get_code().strip() for child in node.children[::2]]
        word = " and " if node.type == "and_test" else " or "
        del operands[index]
        return replaced(node, word.join(operands))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("x = a and b", "x = b"),
            Example("x = a or b or c", "x = a or c", occurrence=1),
        )


class SwapArguments(Operator):
    """Swaps two neighbouring arguments of a call that are given by position."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        for first, second in self._pairs(node):
            yield first.start_pos, second.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        first, second = list(self._pairs(node))[index]
        one, two = node.children.index(first), node.children.index(second)
        text, other = first.get_code().strip(), second.get_code().strip()
        node.children[one] = replaced(first, other)
        node.children[two] = replaced(second, text)
        return node

    @staticmethod
    def _pairs(node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "arglist" and node.parent.type != "classdef":
            given = [
                child
                for child in node.children[::2]
                if child.type != "argument" and child.get_code() != "*"
            ]
            yield from itertools.pairwise(given)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("f(a, b)", "f(b, a)"),
            Example("f(a, b, c, d=1)", "f(a, c, b, d=1)", occurrence=1),
        )


class DropHandler(Operator):
    """Lets an `except` clause catch nothing."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if node.type == "except_clause":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[1] = replaced(node.children[1], "()")
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(
                "try: a()\nexcept B: pass\nexcept (C, d.E) as e: pass\n",
                "try: a()\nexcept B: pass\nexcept () as e: pass\n",
                occurrence=1,
            ),
        )


class TurnMembership(Operator):
    """Makes `not in` of `in`, and the other way round."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if node.type == "comparison":
            for child in node.children[1::2]:
                if child.get_code().split() in (["in"], ["not", "in"]):
                    yield child.start_pos, child.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        found = [c for c in node.children[1::2] if c.get_code().split() in (["in"], ["not", "in"])]
        place = node.children.index(found[index])
        turned = "not in" if found[index].get_code().split() == ["in"] else "in"
        node.children[place] = parso.parse(f" {turned}")
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("x in y", "x not in y"),
            Example("x not in y", "x in y"),
        )


class TakeOpposite(Operator):
    """Calls the function next to the right one: `max` for `min`, `append` for `appendleft`."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if node.type == "name" and node.value in OPPOSITES and _is_called(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.value = OPPOSITES[node.value]
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("min(a, b)", "max(a, b)"), Example("q.popleft()", "q.pop()"))


class DropOrder(Operator):
    """Leaves a sequence in the order in which it is, where it should be reversed or sorted."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if (
            node.type in ("atom_expr", "power")
            and node.children[0].type == "name"
            and node.children[0].value in ("reversed", "sorted")
        ):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        inside = node.children[1].children[1]
        first = inside.children[0] if inside.type == "arglist" else inside
        text = f"list({first.get_code().strip()})"
        rest = "".join(child.get_code() for child in node.children[2:])
        return replaced(node, text + rest)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("for x in reversed(y): pass", "for x in list(y): pass"),
            Example("x = sorted(y, key=z)", "x = list(y)"),
        )


def _is_first(node: Any) -> bool:
    """Say whether *node* gives a local name its first value."""
    if node.type != "expr_stmt" or node.children[0].type not in ("name", "testlist_star_expr"):
        return False
    function = node
    while function.type != "funcdef":
        function = function.parent
    targets = {name.value for name in node.get_defined_names() if name.parent.type != "trailer"}
    before = {leaf.value for leaf in _leaves(function) if leaf.start_pos < node.start_pos}
    return not targets <= before


def _leaves(node: Any) -> Iterator[Any]:
    leaf, last = node.get_first_leaf(), node.get_last_leaf()
    while leaf is not None:
        if leaf.type == "name":
            yield leaf
        if leaf is last:
            return
        leaf = leaf.get_next_leaf()


def _in_function(node: Any) -> bool:
    while node is not None:
        if node.type == "funcdef":
            return True
        if node.type == "classdef":
            return False
        node = node.parent
    return False


def _is_called(node: Any) -> bool:
    after = node.get_next_leaf()
    return after is not None and after.get_code(include_prefix=False) == "("


_compare = comparison_operator_replacement
_binary = binary_operator_replacement

OPERATORS: dict[str, type[Operator]] = {
    kind.__name__: kind
    for kind in (
        _compare.ReplaceComparisonOperator_Lt_LtE,
        _compare.ReplaceComparisonOperator_LtE_Lt,
        _compare.ReplaceComparisonOperator_Gt_GtE,
        _compare.ReplaceComparisonOperator_GtE_Gt,
        _compare.ReplaceComparisonOperator_Eq_NotEq,
        _compare.ReplaceComparisonOperator_NotEq_Eq,
        _compare.ReplaceComparisonOperator_Is_IsNot,
        _compare.ReplaceComparisonOperator_IsNot_Is,
        _binary.ReplaceBinaryOperator_Add_Sub,
        _binary.ReplaceBinaryOperator_Sub_Add,
        _binary.ReplaceBinaryOperator_Mul_Div,
        boolean_replacer.ReplaceTrueWithFalse,
        boolean_replacer.ReplaceFalseWithTrue,
        boolean_replacer.ReplaceAndWithOr,
        boolean_replacer.ReplaceOrWithAnd,
        break_continue.ReplaceBreakWithContinue,
        break_continue.ReplaceContinueWithBreak,
        number_replacer.NumberReplacer,
        unary_operator_replacement.ReplaceUnaryOperator_Delete_Not,
        zero_iteration_for_loop.ZeroIterationForLoop,
        InvertCondition,
        DropHandler,
        DropStatement,
        DropReturnedValue,
        DropOperand,
        SwapArguments,
        TurnMembership,
        TakeOpposite,
        DropOrder,
    )
}
