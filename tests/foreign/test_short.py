"""The short form of `python -m tests.foreign`: some modules of CPython's tests that take seconds."""

from __future__ import annotations

import importlib.util

import pytest

from . import children
from .differences import reason_of

MODULES = ("locks", "queues", "taskgroups", "timeouts", "waitfor")


@pytest.mark.parametrize("module", MODULES)
def test_cpythons_tests_pass_in_a_handler_as_in_a_task(module: str) -> None:
    name = f"test.test_asyncio.test_{module}"
    try:
        shipped = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        shipped = None
    if shipped is None:
        pytest.skip(f"this Python is not shipped with its tests: {name}")
    command = ["-m", "inside.asyncio_tests", name]
    in_task, in_actor = (
        children.run(command, place, "asyncio", test_s=60) for place in ("task", "actor")
    )
    passed = [test for test, how in in_task.how.items() if how == "ok"]
    assert passed
    differ = {
        test: in_actor.detail.get(test, "was not run")
        for test in passed
        if in_actor.how.get(test) != "ok" and reason_of(test) is None
    }
    assert not differ
