"""Random fault plans that have a chance to land: made from what a run without faults did."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from . import faults as f
from . import model_faults as m
from .armed import matches
from .fault_model import FaultModel, bad_fault
from .plan import FaultPlan
from .report import Report

K = TypeVar("K")

DELAYS_S = (0.001, 0.1, 1.0, 10.0, 60.0, 600.0)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a scenario does when nothing goes wrong: how many messages each actor handles, and how long it takes."""

    handled: dict[str, int]
    time_s: float
    choices: int
    steps: int
    store_operations: int = 0
    #: Agent -> requests to its model, and agent -> tool -> calls.
    model_requests: dict[str, int] = field(default_factory=dict[str, int])
    tool_calls: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    #: The labels in *handled* that are the library's own actors: supervisors, coordinators, engines.
    library: frozenset[str] = frozenset()
    #: Whether plans are to hit those as well, and every start.
    in_full: bool = False

    @classmethod
    def of(cls, report: Report) -> Profile:
        """Return the profile of a run."""
        return cls(
            handled=dict(report.handled),
            time_s=report.time_s,
            choices=report.choices,
            steps=report.steps,
            store_operations=report.store_operations,
            model_requests=dict(report.model_requests),
            tool_calls=dict(report.tool_calls),
            library=report.library,
        )

    def only(self, agent: str) -> Profile:
        """Return it with the requests and calls of the agents alone that *agent* matches."""
        requests = {name: n for name, n in self.model_requests.items() if matches(agent, name)}
        calls = {key: n for key, n in self.tool_calls.items() if matches(agent, key[0])}
        return replace(self, model_requests=requests, tool_calls=calls)

    def merged(self, other: Profile) -> Profile:
        """Return what either of two runs did: the larger of each number."""
        return Profile(
            handled=_most(self.handled, other.handled),
            time_s=max(self.time_s, other.time_s),
            choices=max(self.choices, other.choices),
            steps=max(self.steps, other.steps),
            store_operations=max(self.store_operations, other.store_operations),
            model_requests=_most(self.model_requests, other.model_requests),
            tool_calls=_most(self.tool_calls, other.tool_calls),
            library=self.library | other.library,
        )


def _most(one: dict[K, int], other: dict[K, int]) -> dict[K, int]:
    return {key: max(one.get(key, 0), other.get(key, 0)) for key in (*one, *other)}


@dataclass(frozen=True, slots=True)
class Faults:
    """Which faults a search may inject.

    kinds: the fault models to choose from; see `ACTOR_FAULTS`, `STORE_FAULTS` and `MODEL_FAULTS`.
        Left out, those of actors, and of models where the scenario asks some; but not `Garbage`: no
        service is right whose agents answer at random, so it is for those that check answers.
    most: how many in one plan; every fourth run has none, and looks at order alone.
    actor: only actors whose label matches, and models of agents whose name does, are hit.
    library: whether the library's own actors are hit, too (supervisors, coordinators, engines, the keepers
        of their stores), and those that a program begins with may fail to start. That tests the library:
        what it promises holds while its own actors live, and a program that does not start promises nothing.
    """

    kinds: tuple[type[FaultModel], ...] = ()
    most: int = 3
    actor: str = "*"
    library: bool = False

    def __post_init__(self) -> None:
        given: Any = self.kinds
        if isinstance(given, type):
            object.__setattr__(self, "kinds", (given,))
        for kind in self.kinds:
            if kind not in _MAKE:
                raise bad_fault(
                    "Faults",
                    f"{kind!r} is not a kind of fault that is made at random",
                    "Faults(kinds=(Crash, Hang), most=2)",
                )
        if self.most < 1:
            raise bad_fault("Faults", f"most={self.most} is below 1", "Faults(most=2)")

    def plan(self, seed: int, profile: Profile) -> FaultPlan:
        """Return the plan of one run: the same for the same seed and profile."""
        rng = random.Random(f"faults {seed}")
        kinds = self.kinds or (ACTOR_FAULTS if self.library else _SURVIVABLE)
        if not self.kinds and profile.model_requests:
            kinds = (*kinds, *MODEL_FAULTS)
        if self.actor != "*":
            profile = profile.only(self.actor)
        if self.library:
            profile = replace(profile, library=frozenset(), in_full=True)
        labels = [
            label
            for label in profile.handled
            if label not in profile.library and matches(self.actor, label)
        ]
        if rng.randrange(4) == 0:
            return FaultPlan()
        made: list[f.Fault] = []
        for _ in range(1 + min(int(rng.expovariate(1.0)), self.most - 1)):
            fault = _MAKE[rng.choice(kinds)](rng, profile, labels)
            if fault is not None:
                made.append(fault)
        return FaultPlan(faults=tuple(made))


Maker = Callable[[random.Random, Profile, Sequence[str]], "f.Fault | None"]


def _message(rng: random.Random, profile: Profile, labels: Sequence[str]) -> tuple[str, int] | None:
    """Return an actor and the number of one of its messages."""
    if not labels:
        return None
    if rng.randrange(6) == 0 and len(labels) == len(profile.handled):
        return "*", 1 + rng.randrange(sum(profile.handled.values()))
    label = rng.choice(labels)
    return label, 1 + rng.randrange(profile.handled[label] + 1)


def _when(rng: random.Random, profile: Profile) -> float:
    return round(rng.uniform(0, profile.time_s), 3) if profile.time_s else 0.0


def _at_message(
    make: Callable[[random.Random, str, int], f.Fault],
) -> Maker:
    def maker(rng: random.Random, profile: Profile, labels: Sequence[str]) -> f.Fault | None:
        place = _message(rng, profile, labels)
        return None if place is None else make(rng, *place)

    return maker


def _at_time(
    make: Callable[[random.Random, str, float], f.Fault],
) -> Maker:
    def maker(rng: random.Random, profile: Profile, labels: Sequence[str]) -> f.Fault | None:
        return make(rng, rng.choice(labels), _when(rng, profile)) if labels else None

    return maker


def _either(by_message: Maker, by_time: Maker) -> Maker:
    def maker(rng: random.Random, profile: Profile, labels: Sequence[str]) -> f.Fault | None:
        return (by_time if rng.randrange(3) == 0 else by_message)(rng, profile, labels)

    return maker


def _delay(rng: random.Random) -> float:
    return rng.choice(DELAYS_S)


def _times(rng: random.Random) -> int:
    return 1 if rng.randrange(4) else rng.randint(2, 5)


def _operation(rng: random.Random, profile: Profile) -> dict[str, Any]:
    """Return which operation of a store is hit: half the time a write of what happened."""
    count = max(profile.store_operations, 1)
    if rng.randrange(2):
        return {"operation": "append", "at_operation": 1 + rng.randrange(max(count // 2, 1))}
    return {"at_operation": 1 + rng.randrange(count)}


def _request(rng: random.Random, profile: Profile) -> dict[str, Any] | None:
    """Return which request to a model is hit; None if there was none."""
    if not profile.model_requests:
        return None
    agent = rng.choice(list(profile.model_requests))
    return {"agent": agent, "at_request": 1 + rng.randrange(profile.model_requests[agent])}


def _at_request(
    make: Callable[[random.Random, dict[str, Any]], f.Fault],
) -> Maker:
    def maker(rng: random.Random, profile: Profile, labels: Sequence[str]) -> f.Fault | None:
        place = _request(rng, profile)
        return None if place is None else make(rng, place)

    return maker


def _hang_tool(rng: random.Random, profile: Profile, labels: Sequence[str]) -> f.Fault | None:
    if not profile.tool_calls:
        return None
    agent, tool = rng.choice(list(profile.tool_calls))
    call = 1 + rng.randrange(profile.tool_calls[agent, tool])
    return m.HangTool(agent=agent, tool=tool, at_call=call, times=_times(rng))


_MAKE: dict[type, Maker] = {
    f.Crash: _either(
        _at_message(
            lambda rng, actor, n: f.Crash(
                actor=actor, at_message=n, times=_times(rng), after=rng.randrange(3) == 0
            )
        ),
        _at_time(lambda rng, actor, t: f.Crash(actor=actor, at_time_s=t)),
    ),
    f.Kill: _either(
        _at_message(lambda rng, actor, n: f.Kill(actor=actor, at_message=n)),
        _at_time(lambda rng, actor, t: f.Kill(actor=actor, at_time_s=t)),
    ),
    f.Hang: _at_message(lambda rng, actor, n: f.Hang(actor=actor, at_message=n)),
    f.Slow: _at_message(
        lambda rng, actor, n: f.Slow(actor=actor, at_message=n, delay_s=_delay(rng))
    ),
    f.LateAnswer: _at_message(
        lambda rng, actor, n: f.LateAnswer(actor=actor, at_message=n, delay_s=_delay(rng))
    ),
    f.Garbage: _at_message(lambda rng, actor, n: f.Garbage(actor=actor, at_message=n)),
    f.SwallowCancel: _at_message(
        lambda rng, actor, n: f.SwallowCancel(actor=actor, at_message=n, delay_s=_delay(rng))
    ),
    f.BlockLoop: _at_message(
        lambda rng, actor, n: f.BlockLoop(actor=actor, at_message=n, delay_s=_delay(rng))
    ),
    f.FillMailbox: _either(
        _at_message(lambda rng, actor, n: f.FillMailbox(actor=actor, at_message=n, count=50)),
        _at_time(lambda rng, actor, t: f.FillMailbox(actor=actor, at_time_s=t, count=50)),
    ),
    f.FailStart: lambda rng, profile, labels: (
        f.FailStart(
            actor=rng.choice(labels),
            at_start=rng.randint(1, 3) + (not profile.in_full),
            times=_times(rng),
        )
        if labels
        else None
    ),
    f.LoseNode: lambda rng, profile, labels: (
        f.LoseNode(actor=_group(rng, profile, labels), at_time_s=_when(rng, profile))
        if labels
        else None
    ),
    f.Partition: lambda rng, profile, labels: (
        f.Partition(
            between=rng.choice(labels), at_time_s=_when(rng, profile), heal_after_s=_delay(rng)
        )
        if labels
        else None
    ),
    f.ClockSkew: lambda rng, profile, labels: f.ClockSkew(
        at_time_s=_when(rng, profile), by_s=_delay(rng)
    ),
    f.StopMachine: lambda rng, profile, labels: f.StopMachine(
        at_step=1 + rng.randrange(max(profile.steps, 1))
    ),
    f.FailStore: lambda rng, profile, labels: f.FailStore(
        **_operation(rng, profile), times=_times(rng)
    ),
    f.SlowStore: lambda rng, profile, labels: f.SlowStore(
        **_operation(rng, profile), delay_s=_delay(rng)
    ),
    f.FillDisk: lambda rng, profile, labels: f.FillDisk(
        **_operation(rng, profile), times=_times(rng)
    ),
    f.TornWrite: lambda rng, profile, labels: f.TornWrite(**_operation(rng, profile)),
    f.PowerCut: lambda rng, profile, labels: f.PowerCut(**_operation(rng, profile)),
    m.RateLimit: _at_request(
        lambda rng, at: m.RateLimit(
            **at, times=_times(rng), retry_after_s=rng.choice((None, 0.0, 1.0, 10.0, 60.0))
        )
    ),
    m.ServerError: _at_request(
        lambda rng, at: m.ServerError(
            **at, times=_times(rng), status=rng.choice((500, 500, 502, 503, 504, 529))
        )
    ),
    m.DropConnection: _at_request(lambda rng, at: m.DropConnection(**at, times=_times(rng))),
    m.SlowModel: _at_request(lambda rng, at: m.SlowModel(**at, delay_s=_delay(rng))),
    m.HangModel: _at_request(lambda rng, at: m.HangModel(**at)),
    m.SlowStream: _at_request(lambda rng, at: m.SlowStream(**at, delay_s=_delay(rng))),
    m.CutStream: _at_request(lambda rng, at: m.CutStream(**at, after=rng.randrange(4))),
    m.WrongAnswer: _at_request(
        lambda rng, at: m.WrongAnswer(
            **at,
            times=_times(rng),
            text=rng.choice(('{"unfinished": [', "{}", "null", "I think so.")),
        )
    ),
    m.Refusal: _at_request(
        lambda rng, at: m.Refusal(
            **at, times=_times(rng), text=rng.choice(("I cannot help with that.", ""))
        )
    ),
    m.HangTool: _hang_tool,
}


def _group(rng: random.Random, profile: Profile, labels: Sequence[str]) -> str:
    """Return a pattern for one actor or for all with the same beginning."""
    label = rng.choice(labels)
    group = label if rng.randrange(2) else f"{label[: max(1, len(label) // 2)]}*"
    return label if any(matches(group, other) for other in profile.library) else group


ACTOR_FAULTS: tuple[type[FaultModel], ...] = (
    f.Crash,
    f.Kill,
    f.Hang,
    f.Slow,
    f.LateAnswer,
    f.Garbage,
    f.SwallowCancel,
    f.BlockLoop,
    f.FillMailbox,
    f.FailStart,
    f.LoseNode,
    f.Partition,
    f.ClockSkew,
)
"""Every fault of actors, their messages and their clock."""

_SURVIVABLE = tuple(kind for kind in ACTOR_FAULTS if kind is not f.Garbage)

STORE_FAULTS: tuple[type[FaultModel], ...] = (
    f.FailStore,
    f.SlowStore,
    f.FillDisk,
    f.TornWrite,
    f.PowerCut,
    f.StopMachine,
)
"""Every fault of a store and of the machine under it."""

MODEL_FAULTS: tuple[type[FaultModel], ...] = (
    m.RateLimit,
    m.ServerError,
    m.DropConnection,
    m.SlowModel,
    m.HangModel,
    m.SlowStream,
    m.CutStream,
    m.WrongAnswer,
    m.Refusal,
    m.HangTool,
)
"""Every fault of the models behind agents, and of their tools."""
