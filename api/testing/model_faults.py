"""Puts the faults of models and tools in a run's plan beneath every model that is asked in it.

The pydantic-ai that it works on is imported by the first model that is asked, not with the testing kit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors.simulation import current_simulation
from agenticaiframework.models.providers.interposed import set_interposed

from .bad_day import BadDay

if TYPE_CHECKING:
    from pydantic_ai.capabilities import AbstractCapability

_BAD_DAY: Final = "agenticaiframework.testing.bad_day"


def _bad_day(agent: str) -> AbstractCapability[Any] | None:
    sim = current_simulation()
    if sim is None or sim.injector.off:
        return None
    day: BadDay | None = sim.data.get(_BAD_DAY)
    if day is None:
        day = sim.data[_BAD_DAY] = BadDay(sim)
    from .faulty_models import FaultyProvider

    return FaultyProvider(day, agent)


set_interposed(_bad_day)
