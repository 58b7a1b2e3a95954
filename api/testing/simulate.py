"""`@simulate`: a plain async test becomes a search over orders and faults."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, overload

from agenticaiframework.actors.simulation import (
    BadSimulation,
    Check,
    Failure,
    FaultSource,
    Mode,
    Report,
    Search,
    SearchResult,
    Simulation,
)

from . import model_faults as model_faults
from .settings import settings

Test = Callable[..., Coroutine[Any, Any, Any]]


class SimulationFailed(AssertionError):
    """A simulated test found a failure; `failure` is its smallest run, as data."""

    def __init__(self, failure: Failure, saved: Path | None) -> None:
        where = f"\nReplay it with: pytest --sim-replay {saved}" if saved is not None else ""
        super().__init__(f"{failure}{where}")
        self.failure = failure
        self.saved = saved


@overload
def simulate(test: Test, /) -> Callable[..., None]: ...
@overload
def simulate(
    *,
    runs: int = 100,
    faults: FaultSource = None,
    mode: Mode = "mixed",
    depth: int = 3,
    seed: int = 0,
    exhaustive: bool = False,
    checks: Sequence[Check] = (),
    limit_s: float = 3600.0,
    **options: Any,
) -> Callable[[Test], Callable[..., None]]: ...
def simulate(
    test: Test | None = None,
    /,
    *,
    runs: int = 100,
    faults: FaultSource = None,
    mode: Mode = "mixed",
    depth: int = 3,
    seed: int = 0,
    exhaustive: bool = False,
    checks: Sequence[Check] = (),
    limit_s: float = 3600.0,
    **options: Any,
) -> Any:
    """Make an async test run *runs* times, each in another order and with other faults.

    A test that takes parameters gets the `Simulation` as the one called ``sim`` or annotated so, else
    as its first; the others are its fixtures. It runs in virtual time inside an actor system
    (`sim.system`, and what `Actor.start` uses); what must always hold is checked after every run.
    The first failure is shrunk and raised as `SimulationFailed`, with the code that repeats it, and
    saved where ``--sim-replay`` finds it.

    faults: True or `Faults(...)` for random ones, a `FaultPlan` or a list of faults for the same ones
        in every run, or a function of seed and `Profile`; None: only orders differ.
    mode: how orders are chosen: ``random``, ``pct``, or ``mixed``; see `Search`. depth: that of ``pct``.
    depth: that of ``pct``: how many orders a bug it finds may depend on.
    exhaustive: try every essentially different order instead, at most *runs*; for small systems.
    seed: the first of the seeds; the same seed does the same thing on every machine.
    checks: functions of the simulation that yield violations.
    limit_s: virtual seconds after which a run counts as stuck.
    options: further ones of `Simulation`.

    With pytest, ``--sim-seed``, ``--sim-runs`` and ``--sim-replay`` override these.

    >>> @simulate(runs=20)
    ... async def test_sleeping_takes_time(sim):
    ...     await asyncio.sleep(60)
    ...     assert sim.time() == 60
    """
    more = {"limit_s": limit_s, **options}

    def searching(scenario: Any) -> Search:
        return Search(scenario, faults, mode, depth, tuple(checks), more)

    # What cannot be simulated is told here, and not in the first run.
    searching(None).check(runs, seed)

    def decorate(function: Test) -> Callable[..., None]:
        if not inspect.iscoroutinefunction(function):
            name = getattr(function, "__name__", repr(function))
            raise BadSimulation(
                f"@simulate needs an async function, and {name} is not one. "
                f"Write: async def {name}(sim): ..."
            )
        parameters = list(inspect.signature(function).parameters.values())
        place = _place_of_simulation(parameters)

        def call(sim: Simulation, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
            if place is None:
                return function(*args, **kwargs)
            if len(args) < place:
                return function(*args, **{parameters[place].name: sim}, **kwargs)
            return function(*args[:place], sim, *args[place:], **kwargs)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True

            async def scenario(sim: Simulation) -> Any:
                return await call(sim, *args, **kwargs)

            functools.update_wrapper(scenario, run)
            _search(searching(scenario), run, runs, seed, exhaustive)

        # pytest takes its fixtures from the signature: the simulation is not one.
        del run.__wrapped__
        fixtures = [each for number, each in enumerate(parameters) if number != place]
        run.__signature__ = inspect.Signature(fixtures)  # type: ignore[attr-defined]
        run.scenario = call  # type: ignore[attr-defined]
        run.simulated = True  # type: ignore[attr-defined]
        return run

    return decorate if test is None else decorate(test)


def _place_of_simulation(parameters: Sequence[inspect.Parameter]) -> int | None:
    """Return which of a test's parameters is the simulation; None: it wants none."""
    for place, parameter in enumerate(parameters):
        if parameter.name in ("sim", "simulation"):
            return place
        if parameter.annotation in (Simulation, "Simulation"):
            return place
    first = 1 if parameters and parameters[0].name == "self" else 0
    return first if len(parameters) > first else None


def _search(search: Search, test: Any, runs: int, seed: int, exhaustive: bool) -> None:
    __tracebackhide__ = True
    if settings.replay is not None:
        _replay(search, settings.replay)
        return
    runs = settings.runs if settings.runs is not None else runs
    seed = settings.seed if settings.seed is not None else seed
    complete = True
    if exhaustive:
        result, complete = search.explore([search.fixed], seed=seed, max_schedules=runs)
    else:
        result = search.run(runs, seed=seed)
    settings.count(result, complete=complete)
    if result.failure is not None:
        raise SimulationFailed(result.failure, _save(result, test))


def _save(result: SearchResult, test: Any) -> Path | None:
    if settings.directory is None or result.failure is None:
        return None
    name = f"{test.__module__}.{test.__qualname__}".replace(".<locals>.", ".")
    return result.failure.save(settings.directory / f"{name}.json")


def _replay(search: Search, failure: Failure) -> Report:
    __tracebackhide__ = True
    options: dict[str, Any] = {**failure.options, "detailed": True}
    report = search.run_one(failure.plan, failure.seed, schedule=failure.schedule, **options)
    if report.failed:
        told = failure.model_copy(update={"narrative": report.narrative(last=200)})
        raise SimulationFailed(told, None)
    return report
