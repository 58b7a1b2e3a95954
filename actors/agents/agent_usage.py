"""What agents have spent: a meter for each answer, and a sum for each agent in a system."""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

from ..system.system import ActorSystem
from .agent_context import RUNTIME
from .meter import Meter
from .metering import open_meter
from .model_spec import ModelSpec
from .usage import NO_USAGE, Usage
from .usage_limits import WorkLimits, read_usage_limits

_TOTALS: Final = f"{RUNTIME}usage"
"""Where a system keeps the sums, by what the agents were made of."""


def open_agent_meter(agent: str, spec: ModelSpec | None) -> Meter:
    """Return the meter of one answer of *agent*, in the one that counts here."""
    if spec is None:
        return open_meter("agent", agent)
    limits = None
    if spec.usage_limits is not None:
        limits = _limits_of(agent, spec)
    meter = open_meter("agent", agent, limits, of_one_answer=True)
    system = ActorSystem.current_or_none()
    if system is not None:
        meter.totals = (_total(system, spec),)
    return meter


def open_remote_meter(
    agent: str, spec: ModelSpec | None, around: Meter | None, system: ActorSystem
) -> Meter | None:
    """Return what counts here what *agent*, which works on another node, spends for one answer.

    Its own limits are kept there.
    """
    if spec is None:
        return around
    meter = Meter("agent", agent, around)
    meter.totals = (_total(system, spec),)
    return meter


_limits: Final[WeakKeyDictionary[ModelSpec, WorkLimits | None]] = WeakKeyDictionary()


def _limits_of(agent: str, spec: ModelSpec) -> WorkLimits | None:
    try:
        return _limits[spec]
    except KeyError:
        limits = read_usage_limits(f"agent {agent!r}", spec.usage_limits, of_agent=True)
        return _limits.setdefault(spec, limits)


def spent_by(system: ActorSystem | None, spec: ModelSpec | None) -> Usage:
    """Return what the agent that was made of *spec* has spent in *system*, itself."""
    if system is None or spec is None or _TOTALS not in system.data:
        return NO_USAGE
    total: Meter | None = system.data[_TOTALS].get(spec)
    return NO_USAGE if total is None else total.spent


def _total(system: ActorSystem, spec: ModelSpec) -> Meter:
    found: WeakKeyDictionary[ModelSpec, Meter] | None = system.data.get(_TOTALS)
    totals: WeakKeyDictionary[ModelSpec, Meter] = (
        system.data.setdefault(_TOTALS, WeakKeyDictionary()) if found is None else found
    )
    total = totals.get(spec)
    if total is None:
        total = totals.setdefault(spec, Meter("agent", spec.agent))
    return total


__all__ = ["open_agent_meter", "open_remote_meter", "spent_by"]
