"""The operators do what their examples say, and nothing is planted where nothing would break."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cosmic_ray", reason="needs the dependency group `mutation`")

from cosmic_ray.mutating import mutate_code

from .mutants import mutants, planted, sample
from .operators import OPERATORS
from .places import Places
from .verdicts import Explained, report

OURS = {name: kind for name, kind in OPERATORS.items() if kind.__module__.startswith(__package__)}
EXAMPLES = [
    pytest.param(kind, example, id=f"{name}: {example.pre_mutation_code.strip()}")
    for name, kind in OURS.items()
    for example in kind.examples()
]


@pytest.mark.parametrize(("kind", "example"), EXAMPLES)
def test_an_operator_does_what_its_example_says(kind: Any, example: Any) -> None:
    changed = mutate_code(example.pre_mutation_code, kind(), example.occurrence)
    assert changed == example.post_mutation_code


SOURCE = textwrap.dedent(
    '''
    """Not 1 but 2."""
    from typing import TYPE_CHECKING
    if TYPE_CHECKING:
        WIDTH = 1

    class Thing:
        __slots__ = ("a",)

        def __init__(self, a: "int | None" = 3) -> None:
            """Take one or two, not three."""
            self.a = a

        def __repr__(self) -> str:
            return "Thing" if self.a else "none"

        def check(self, b, c):
            assert self.a is not None and b
            if not b:
                raise ValueError(f"{b and c}", b, c)
            log.debug("said", b, c)
            for each in c:
                if each > 5:
                    break
            return b
    '''
).lstrip()


def planted_lines(tmp_path: Path) -> dict[int, set[str]]:
    (tmp_path / "thing.py").write_text(SOURCE, encoding="utf-8")
    found: dict[int, set[str]] = {}
    for mutant in mutants(tmp_path, "thing.py"):
        if planted(tmp_path, mutant) is not None:
            found.setdefault(mutant.line, set()).add(mutant.operator)
    return found


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(SOURCE.splitlines(), 1) if text in line)


def test_types_docstrings_texts_and_asserts_are_left_alone(tmp_path: Path) -> None:
    found = planted_lines(tmp_path)
    for text in ("Not 1", "WIDTH", "__slots__", "three", 'return "Thing"', "assert"):
        assert line_of(text) not in found
    assert found[line_of("def __init__")] == {"NumberReplacer"}
    assert found[line_of("raise")] == {"DropStatement"}
    assert found[line_of("log.debug")] == {"DropStatement"}


def test_bugs_are_planted_in_conditions_loops_and_statements(tmp_path: Path) -> None:
    found = planted_lines(tmp_path)
    assert found[line_of("self.a = a")] == {"DropStatement"}
    assert found[line_of("if not b")] == {"ReplaceUnaryOperator_Delete_Not"}
    assert found[line_of("for each")] == {"ZeroIterationForLoop"}
    assert "ReplaceComparisonOperator_Gt_GtE" in found[line_of("each > 5")]
    assert found[line_of("break")] == {"ReplaceBreakWithContinue"}
    assert found[line_of("return b")] == {"DropReturnedValue"}


def test_a_larger_sample_begins_with_the_smaller_one_and_has_one_bug_a_line(tmp_path: Path) -> None:
    planted_lines(tmp_path)
    some = list(sample(tmp_path, ["thing.py"], 4, seed=7))
    more = list(sample(tmp_path, ["thing.py"], 100, seed=7))
    assert [m.key for m in more[:4]] == [m.key for m in some]
    assert len({m.line for m in more}) == len(more)


def test_a_place_knows_its_function_and_the_lines_of_its_statement() -> None:
    places = Places(SOURCE)
    place = places.at((line_of("if not b"), 8))
    assert place.function == "Thing.check"
    assert list(place.statement) == [line_of("if not b")]


def test_the_report_counts_explained_survivors_apart() -> None:
    common = {
        "file": "a/b.py",
        "function": "f",
        "line": 1,
        "operator": "o",
        "tests": 3,
        "diff": "-",
    }
    verdicts = [
        {**common, "old": "x", "new": "y", "verdict": "seen"},
        {**common, "old": "x", "new": "z", "verdict": "survived"},
        {**common, "old": "x", "new": "w", "verdict": "survived"},
    ]
    explained = Explained({("f", "x", "z"): "z is x here."})
    lines = list(report(verdicts, explained))
    assert lines[1].split() == ["a", "3", "1", "1", "1", "50.0%"]
    assert sum("a/b.py:1" in line for line in lines) == 1


def test_every_explained_survivor_has_a_reason() -> None:
    assert all(why.strip() for why in Explained.load().reasons.values())
