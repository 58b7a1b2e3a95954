"""The table of broken rules stays in step with the code that it breaks."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def load() -> Any:
    spec = importlib.util.spec_from_file_location("otp_mutations", HERE / "mutations.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mutations = load()


@pytest.mark.parametrize("mutation", mutations.MUTATIONS, ids=lambda mutation: mutation.rule)
def test_the_place_of_each_rule_is_found(mutation: Any) -> None:
    source = (mutations.SUPERVISION / mutation.file).read_text()
    assert mutations.mutated(mutation, source) != source


def test_there_are_enough_rules_and_none_twice() -> None:
    assert len(mutations.MUTATIONS) >= 60
    assert len({(m.file, m.old, m.new) for m in mutations.MUTATIONS}) == len(mutations.MUTATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(0, len(mutations.MUTATIONS), 10))
def test_broken_rules_are_noticed(number: int, tmp_path: Path) -> None:
    assert mutations.caught_by(mutations.MUTATIONS[number], tmp_path)
