"""The language of conditions and references."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agenticaiframework.patterns.expressions.errors import ExpressionError, ExpressionTypeError
from agenticaiframework.patterns.expressions.expression import compile_expression, parse_reference
from agenticaiframework.patterns.expressions.parser import MAX_DEPTH, MAX_LENGTH
from agenticaiframework.patterns.expressions.reference import MISSING, Reference

SCOPE: dict[str, Any] = {
    "input": {"priority": "high", "type": "complex", "n": 3, "tags": ["a", "b"], "zero": 0},
    "classify": {"category": "order", "scores": {"spam": 0.1, "two words": 2}},
    "skipped": None,
    "text": "plain",
    "rows": [{"name": "x"}, {"name": "y"}],
    "task": {"requires_research": True},
    "fetch-data": {"ok": True},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$classify.category != 'spam'", True),
        ("input.priority == 'high'", True),
        ("task.requires_research", True),
        ("task.requires_report", None),
        ("not task.requires_report", True),
        ("$input.priority in ['high', 'urgent']", True),
        ("$input.priority not in ['high', 'urgent']", False),
        ("'a' in $input.tags", True),
        ("'category' in classify", True),
        ("'la' in text", True),
        ("'x' in skipped", False),
        ("'x' not in skipped", True),
        ("input.n > 2 and input.n <= 3", True),
        ("2 < input.n <= 3", True),
        ("3 < input.n <= 3", False),
        ("input.n == 3.0", True),
        ("input.n == '3'", False),
        ("input.n != '3'", True),
        ("skipped == none", True),
        ("skipped == None", True),
        ("skipped == null", True),
        ("skipped.anything.deep == none", True),
        ("text.anything", None),
        ("text.result", "plain"),
        ("nowhere > 3", False),
        ("nowhere <= 3", False),
        ("true", True),
        ("False or 'x'", "x"),
        ("$input.zero or 7", 7),
        ("$input.zero and 7", 0),
        ("rows[0].name", "x"),
        ("$rows.1.name", "y"),
        ("rows[-1].name", "y"),
        ("rows[9].name", None),
        ('classify.scores["two words"]', 2),
        ('$["fetch-data"].ok', True),
        ("fetch-data.ok", True),
        ("-1", -1),
        ("1e3 == 1000", True),
        ("'it\\'s' == \"it's\"", True),
        ("not (false or false) and true", True),
        ("true or false and false", True),
        ("[1, 'a', true, none, [2]]", [1, "a", True, None, [2]]),
        ("[]", []),
        ("  input.n  ==\n 3 ", True),
    ],
)
def test_expressions_have_the_values_that_they_say(text: str, value: object) -> None:
    found = compile_expression(text).evaluate(SCOPE)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "column", "advice"),
    [
        ("", 1, "Write a condition"),
        ("input.priority = 'high'", 16, "Write '=='."),
        ("input.a === 'high'", 9, "Write '=='."),
        ("input.a !== 'high'", 9, "Write '!='."),
        ("input.a <> 'high'", 9, "Write '!='."),
        ("a && b", 3, "Write 'and'."),
        ("a || b", 3, "Write 'or'."),
        ("!a", 1, "Write 'not'."),
        ("a AND b", 3, "Write 'and'."),
        ("a is none", 3, "Write '== none'"),
        ("a not b", 7, "not in"),
        ("len(a)", 4, "Let an agent compute"),
        ("a.b()", 4, "Let an agent compute"),
        ("a + 1", 3, "Let an agent compute"),
        ("2 ** 9", 3, "Let an agent compute"),
        ("9 -1", 3, "Let an agent compute"),
        ("a == 'open", 6, "Add ' at its end."),
        ("(a == 1", 1, "Add ')'."),
        ("a == 1)", 7, "Remove it"),
        ("[1, 2", 1, "Add ']'."),
        ("a in [b]", 7, "Put texts in quotes"),
        ("a in ['x' 'y']", 11, "['a', 'b']"),
        ("a ==", 5, "Add what to compare with."),
        ("a == and", 6, "Write $step.field"),
        ("a b", 3, "Write =="),
        ("$", 2, "Write $step.field"),
        ("$5", 2, "Write $step.field"),
        ("a.", 3, "$step"),
        ("a[b]", 3, '$step["b"]'),
        ("a['b'", 2, '$step["key"]'),
        ("a[1.5]", 3, '$step["key"]'),
        ("{'a': 1}", 1, "one by one"),
        ("a | upper", 3, "Let an agent compute"),
        ("12abc", 1, "Write it as 12"),
        ("'\\d' == a", 2, "backslash"),
        ("1e999", 1, ""),
        ("9" * 50, 1, ""),
        ("lambda: 1", 7, ""),
        ("a if b else c", 3, ""),
        ("a\x00", 2, ""),
    ],
)
def test_an_error_shows_the_place_and_the_form_that_works(
    text: str, column: int, advice: str
) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    error = caught.value
    assert error.position + 1 == column
    message = str(error)
    assert advice in message
    shown, caret = message.splitlines()[-2:]
    assert shown.strip() or not text
    assert caret.strip() == "^"
    assert caret.index("^") - 4 == column - 1


def test_a_long_expression_is_shown_around_its_mistake() -> None:
    text = "input.a == 1 and " * 20 + "input.b = 2"
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    shown, caret = str(caught.value).splitlines()[-2:]
    assert len(shown) < 120
    assert shown[caret.index("^")] == "="


@pytest.mark.parametrize(
    "text",
    [
        "input.priority > 3",
        "input.tags < 3",
        "classify > classify",
        "'a' in input.n",
        "1 in input.priority",
        "classify in classify",
    ],
)
def test_values_of_unlike_types_in_order_are_a_clear_error(text: str) -> None:
    with pytest.raises(ExpressionTypeError, match="cannot be"):
        compile_expression(text).evaluate(SCOPE)


def test_python_attributes_cannot_be_reached() -> None:
    class Trap:
        secret = "no"

        @property
        def ran(self) -> str:
            raise AssertionError("an attribute was read")

    scope = {"trap": Trap(), "input": {"x": 1}, "text": "plain"}
    for text in (
        "trap.secret",
        "trap.ran",
        "trap.__class__",
        "input.__class__",
        "text.__class__.__mro__",
        'input["__class__"]',
        "input.keys",
        "__import__",
        "trap[0]",
    ):
        assert compile_expression(text).evaluate(scope) is None


def test_objects_that_refuse_comparison_or_truth_give_a_clear_error() -> None:
    class Refuses:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise ValueError("no")

        def __bool__(self) -> bool:
            raise ValueError("no")

    scope = {"x": Refuses(), "m": {}}
    for text in ("x == 1", "x != 1", "x > 1", "not x", "x and true", "x or true", "x in m"):
        with pytest.raises(ExpressionTypeError):
            compile_expression(text).evaluate(scope)
    with pytest.raises(ExpressionTypeError):
        compile_expression("x").test(scope)


def test_lookups_do_not_change_mappings_that_make_their_own_defaults() -> None:
    from collections import defaultdict

    made: defaultdict[str, int] = defaultdict(int)
    assert compile_expression("a.b == none").evaluate({"a": made}) is True
    assert not made


def test_a_list_literal_is_made_anew_so_that_its_owner_may_change_it() -> None:
    expression = compile_expression("['a', ['b']]")
    first = expression.evaluate({})
    first[1].append("c")
    assert expression.evaluate({}) == ["a", ["b"]]


def test_names_and_references_tell_what_an_expression_reads() -> None:
    expression = compile_expression("$a.b != 'x' and c in ['d'] or not a[0]['k']")
    assert expression.names == ("a", "c")
    assert expression.references == (
        Reference("a", ("b",)),
        Reference("c"),
        Reference("a", (0, "k")),
    )


def test_length_and_depth_are_bounded() -> None:
    with pytest.raises(ExpressionError, match="at most"):
        compile_expression("a" * (MAX_LENGTH + 1))
    for opening, closing in (("(", ")"), ("[", "]"), ("not ", "")):
        inner = "1" if opening != "not " else "a"
        deep = opening * MAX_DEPTH + inner + closing * MAX_DEPTH
        compile_expression(deep).evaluate({})
        with pytest.raises(ExpressionError, match="inside one another"):
            compile_expression(opening + deep + closing)


def test_something_that_is_no_text_is_refused() -> None:
    with pytest.raises(ExpressionError, match="not a int"):
        compile_expression(3)  # type: ignore[arg-type]


def test_expressions_are_equal_by_text_and_survive_pickling() -> None:
    expression = compile_expression("$a.b == 1")
    again = pickle.loads(pickle.dumps(expression))
    assert again == expression
    assert hash(again) == hash(expression)
    assert again.evaluate({"a": {"b": 1}}) is True


# --------------------------------------------------------------------------- references


@pytest.mark.parametrize(
    "text",
    ["$input.message", "$a", "$a.b[0].c", '$["two words"].x', '$a["k.k"]', "$rows.0.1", "$a[-1]"],
)
def test_a_reference_prints_as_text_that_means_the_same(text: str) -> None:
    reference = parse_reference(text)
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize("text", ["$a == 1", "$a.b extra", "'text'", "", "$", "$a.b()", "12"])
def test_what_is_more_or_less_than_a_reference_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_reference(text)


def test_a_reference_gives_the_value_itself() -> None:
    rows = SCOPE["rows"]
    assert parse_reference("$rows").get(SCOPE) is rows
    assert parse_reference("$rows[0].gone").get(SCOPE, MISSING) is MISSING
    assert parse_reference("$skipped").get(SCOPE, MISSING) is None


def test_numbered_keys_are_found_again_after_json_made_texts_of_them() -> None:
    assert parse_reference("$a[1]").get({"a": {1: "x"}}) == "x"
    assert parse_reference("$a[1]").get({"a": {"1": "x"}}) == "x"


# --------------------------------------------------------------------------- fuzzing

PIECES = [
    "$", "a", "input", ".", "b", "[", "]", "(", ")", "0", "-1", "1.5", "'x'", '"y"', "'", '"', "\\",
    "==", "!=", "<", ">=", "in", "not", "and", "or", "is", "true", "None", ",", " ", "\n", "=", "!",
    "+", "**", "lambda", "__class__", "import", "é", "\x00", "\ud800", "9" * 30, "²", "{", ":", "@",
]  # fmt: skip

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abx0"), inner, max_size=3)
    ),
    max_leaves=8,
)


def _read_and_evaluate(text: str, scope: dict[str, Any]) -> None:
    try:
        expression = compile_expression(text)
    except ExpressionError as error:
        assert 0 <= error.position <= max(len(text), MAX_LENGTH)
        assert "^" in str(error)
        return
    try:
        expression.test(scope)
    except ExpressionTypeError:
        return
    assert set(expression.names) == {reference.root for reference in expression.references}


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=25).map("".join),
    st.dictionaries(st.sampled_from(["a", "input", "b"]), VALUES),
)
def test_no_sequence_of_tokens_does_anything_but_a_value_or_a_clear_error(
    text: str, scope: dict[str, Any]
) -> None:
    _read_and_evaluate(text, scope)


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=MAX_LENGTH + 10))
def test_no_text_does_anything_but_a_value_or_a_clear_error(text: str) -> None:
    _read_and_evaluate(text, {})


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(PIECES), st.integers(1, MAX_LENGTH))
def test_no_repetition_hangs_or_overflows_the_stack(piece: str, times: int) -> None:
    _read_and_evaluate((piece * times)[:MAX_LENGTH], {"a": {}})


LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=10),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


def _written(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_written(item) for item in value) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return repr(value)


@settings(max_examples=300, deadline=None)
@given(LITERALS)
def test_a_literal_reads_as_the_value_that_was_written(value: Any) -> None:
    assert compile_expression(_written(value)).evaluate({}) == value


CONDITIONS = st.recursive(
    st.sampled_from(["a", "b", "c", "true", "false"]),
    lambda inner: (
        inner.map(lambda x: f"(not {x})")
        | st.tuples(inner, inner).map(lambda p: f"({p[0]} and {p[1]})")
        | st.tuples(inner, inner).map(lambda p: f"({p[0]} or {p[1]})")
        | st.tuples(inner, inner).map(lambda p: f"({p[0]} == {p[1]})")
        | st.tuples(inner, inner).map(lambda p: f"{p[0]} and {p[1]}")
        | st.tuples(inner, inner).map(lambda p: f"{p[0]} or {p[1]}")
    ),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(CONDITIONS, st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_logic_agrees_with_python(text: str, values: tuple[bool, bool, bool]) -> None:
    names = dict(zip("abc", values, strict=True))
    # The text is built above from a fixed alphabet, so Python may be the judge of it.
    expected = eval(text, {"true": True, "false": False}, names)
    assert compile_expression(text).evaluate(names) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$a == true", False),
        ("$a != true", True),
        ("true == $a", False),
        ("$a in [true]", False),
        ("true in $ones", False),
        ("$a in $ones", True),
        ("$a == 1.0", True),
        ("$yes == true", True),
        ("$yes in [true, 'yes']", True),
    ],
)
def test_a_number_is_neither_true_nor_false(text: str, value: bool) -> None:
    scope = {"a": 1, "ones": [1, 1.0], "yes": True}
    assert compile_expression(text).evaluate(scope) is value
