"""The suite under some hundred schedules each, and the list of planted bugs kept up to date."""

from __future__ import annotations

import pytest

from agenticaiframework.testing.settings import settings

from .mutants import ROOT
from .mutations import MUTATIONS
from .planting import Mutation, planted
from .suite import SUITE, Entry

RUNS = 150


@pytest.mark.parametrize("entry", SUITE, ids=lambda entry: entry.name)
def test_the_property_holds_under_random_orders_and_faults(entry: Entry) -> None:
    result = entry.search().run((settings.runs or RUNS) * entry.weight, seed=settings.seed or 0)
    settings.count(result)
    assert result.failure is None, str(result.failure)


def test_there_are_enough_planted_bugs_and_each_has_a_name_of_its_own() -> None:
    assert len(MUTATIONS) >= 40
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.skipif(not (ROOT / "actors").is_dir(), reason="the tests run outside a checkout")
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_planted_bug_fits_the_code(mutation: Mutation) -> None:
    path, source = planted(mutation, ROOT)
    assert source != path.read_text(encoding="utf-8")
