"""`@simulate` and the pytest plugin, as a user meets them."""

from __future__ import annotations

import asyncio
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.testing import (
    BadSimulation,
    Crash,
    Failure,
    FaultPlan,
    Search,
    Simulation,
    SimulationFailed,
    Violation,
    simulate,
)
from agenticaiframework.testing.settings import settings

from .scenarios import Counter, forgets_the_asker, lost_update, three_askers


@pytest.fixture(autouse=True)
def no_overrides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "runs", None)
    monkeypatch.setattr(settings, "seed", None)
    monkeypatch.setattr(settings, "replay", None)
    monkeypatch.setattr(settings, "directory", tmp_path)


@simulate(runs=20)
async def test_it_decorates_an_async_test_with_fixtures(sim: Simulation, tmp_path: Path) -> None:
    assert tmp_path.is_absolute()
    await asyncio.sleep(60)
    assert sim.time() == 60


@simulate(runs=60, faults=True)
async def test_faults_do_not_break_what_expects_them(sim: Simulation) -> None:
    await three_askers(sim)


@simulate(exhaustive=True, runs=1000)
async def test_small_systems_are_explored_whole(sim: Simulation) -> None:
    counter = Counter.start()
    for _ in range(2):
        counter.tell("add")
    assert await counter.request("get") == 2


def test_a_race_is_found_shrunk_saved_and_replays(tmp_path: Path) -> None:
    @simulate(runs=300)
    async def racy(sim: Simulation) -> None:
        await lost_update(sim)

    with pytest.raises(SimulationFailed, match="no update is lost") as caught:
        racy()
    failure = caught.value.failure
    assert len(failure.schedule) <= 2
    assert failure.found_by in ("random order", "PCT of depth 3")
    assert "Counter#35;1" in failure.diagram
    assert caught.value.saved is not None
    loaded = Failure.load(caught.value.saved)
    assert loaded == failure
    settings.replay = loaded
    with pytest.raises(SimulationFailed, match="no update is lost"):
        racy()


def test_exploration_finds_it_too_and_says_so() -> None:
    @simulate(exhaustive=True, runs=1000)
    async def racy(sim: Simulation) -> None:
        await lost_update(sim)

    with pytest.raises(SimulationFailed, match="Found by exploration"):
        racy()


def test_an_ask_that_nobody_answers_is_a_violation() -> None:
    @simulate(runs=2)
    async def forgetful(sim: Simulation) -> None:
        await forgets_the_asker(sim)

    # The asker gives up after its timeout, so this one is no violation...
    forgetful()

    @simulate(runs=2)
    async def waits_for_ever(sim: Simulation) -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(SimulationFailed, match="progress"):
        waits_for_ever()


def test_many_faults_shrink_to_the_one_that_matters() -> None:
    def plan(seed: int, profile: object) -> FaultPlan:
        return FaultPlan.of(
            Crash(actor="nobody", at_message=seed),
            Crash(actor="Counter#1", at_message=3, times=4),
            Crash(actor="Adder#1", at_message=7),
        )

    @simulate(runs=30, faults=plan)
    async def fragile(sim: Simulation) -> None:
        counter = Counter.start()
        for _ in range(4):
            await counter.request("add")

    with pytest.raises(SimulationFailed, match="InjectedCrash") as caught:
        fragile()
    assert caught.value.failure.plan == FaultPlan.of(Crash(actor="Counter#1", at_message=1))
    assert len(caught.value.failure.schedule) == 0


def test_the_printed_code_repeats_the_failure() -> None:
    with pytest.raises(SimulationFailed) as caught:
        simulate(runs=300)(lost_update)()
    code = caught.value.failure.code()
    assert "simulate_once(" in code
    with pytest.raises(AssertionError, match="no update is lost"):
        exec(code.replace("lost_update.scenario", "lost_update"), {})


async def sleeps_for_a_day(sim: Simulation) -> None:
    await asyncio.sleep(86_400)


def never_well(sim: Simulation) -> list[Violation]:
    return [Violation("well", f"at {sim.time():g} s")]


@pytest.mark.parametrize("limit_s", [100_000.0, math.inf])
def test_the_printed_code_has_the_limits_and_the_checks_of_the_search(
    limit_s: float, tmp_path: Path
) -> None:
    search = Search(sleeps_for_a_day, checks=(never_well,), options={"limit_s": limit_s})
    failure = search.run(1).failure
    assert failure is not None
    assert Failure.load(failure.save(tmp_path / "failure.json")) == failure
    with pytest.raises(AssertionError) as caught:
        exec(failure.code(), {})
    assert failure.narrative == str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"runs": 0}, "runs=0: give a whole number from 1"),
        ({"runs": 2.5}, "runs=2.5"),
        ({"seed": "x"}, "seed='x'"),
        ({"mode": "randon"}, "Did you mean 'random'?"),
        ({"depth": 0}, "as in depth=3"),
        ({"limit_s": 0}, "limit_s=0"),
        ({"max_step": 5}, "Did you mean 'max_steps'?"),
    ],
)
def test_what_cannot_be_simulated_is_told_where_it_is_said(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadSimulation, match=re.escape(said)):
        simulate(**options)


def test_anything_but_an_async_function_is_refused_with_the_form_that_works() -> None:
    with pytest.raises(BadSimulation, match=r"async def plain\(sim\)"):

        @simulate
        def plain(sim: Simulation) -> None: ...  # type: ignore[arg-type]


RACY = """
import asyncio
from agenticaiframework.actors import Actor
from agenticaiframework.testing import simulate

class Account(Actor):
    def __init__(self):
        super().__init__()
        self.balance = 10
    def on_receive(self, message):
        if message == "balance":
            return self.balance
        self.balance -= message
        return self.balance

class Buyer(Actor):
    def __init__(self, account):
        super().__init__()
        self.account = account
    async def on_receive(self, price):
        if await self.account.request("balance") >= price:
            await self.account.request(price)

@simulate(runs=50)
async def test_balance(sim):
    account = Account.start()
    buyers = [Buyer.start(account) for _ in range(2)]
    await asyncio.gather(*(buyer.request(7) for buyer in buyers))
    balance = await account.request("balance")
    sim.expect(balance >= 0, "no overdraft", f"balance {balance}")

@simulate(runs=7)
async def test_fine(sim):
    await asyncio.sleep(1)
"""


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "agenticaiframework.testing.pytest_plugin",
            *arguments,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_plugin_saves_failures_replays_them_and_takes_runs_and_seeds(tmp_path: Path) -> None:
    (tmp_path / "test_account.py").write_text(RACY)
    found = pytest_in(tmp_path)
    assert "no overdraft" in found.stdout, found.stdout + found.stderr
    assert "1 failed, 1 passed" in found.stdout
    assert "2 tests," in found.stdout
    saved = tmp_path / ".simulation" / "test_account.test_balance.json"
    assert saved.with_suffix(".mmd").read_text().startswith("---")

    again = pytest_in(tmp_path, "--sim-replay", str(saved))
    assert "1 failed, 1 deselected" in again.stdout, again.stdout

    fixed = RACY.replace("[Buyer.start(account) for _ in range(2)]", "[Buyer.start(account)]")
    (tmp_path / "test_account.py").write_text(fixed)
    passes = pytest_in(tmp_path, "--sim-replay", str(saved))
    assert "1 passed, 1 deselected" in passes.stdout, passes.stdout

    counted = pytest_in(tmp_path, "--sim-runs", "11", "--sim-seed", "5")
    assert "22 schedules" in counted.stdout, counted.stdout


def test_the_plugin_counts_what_several_processes_simulate(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    for name in ("test_one.py", "test_two.py"):
        (tmp_path / name).write_text(RACY)
    options = ("-k", "fine", "-n", "2", "--dist", "loadfile")
    counted = pytest_in(tmp_path, *options)
    assert "2 tests, 14 schedules" in counted.stdout, counted.stdout + counted.stderr


def test_the_plugin_refuses_what_is_no_saved_failure(tmp_path: Path) -> None:
    (tmp_path / "test_account.py").write_text(RACY)
    (tmp_path / "wrong.json").write_text("{}")
    refused = pytest_in(tmp_path, "--sim-replay", "wrong.json")
    assert refused.returncode == 4
    assert "no saved failure" in refused.stderr
