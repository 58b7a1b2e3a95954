"""What tests put round the requests of every model agent, beneath all else: the faults of a simulation."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from pydantic_ai.capabilities import AbstractCapability
    from pydantic_ai.models import Model

Interpose: TypeAlias = "Callable[[str], AbstractCapability[Any] | None]"

_interpose: Interpose | None = None


def set_interposed(interpose: Interpose | None) -> Interpose | None:
    """Let *interpose* give a capability for each run of an agent from now on; return the one before.

    It is called with the agent's name, where the run is made, and may return None.
    """
    global _interpose
    previous, _interpose = _interpose, interpose
    return previous


def is_interposed() -> bool:
    """Tell whether anything may go beneath requests."""
    return _interpose is not None


def interposed(agent: str) -> AbstractCapability[Any] | None:
    """Return what goes beneath all else round a run of *agent* here; None: nothing.

    Until the run ends, its ``wrap_beneath`` is put round each model that is opened in it.
    """
    if _interpose is None:
        return None
    capability = _interpose(agent)
    _BENEATH.set(capability)
    return capability


def wrapped_beneath(model: Model) -> Model:
    """Return *model* with what goes round it in the run that is under way here."""
    if _interpose is None:
        return model
    wrap = getattr(_BENEATH.get(), "wrap_beneath", None)
    return model if wrap is None else wrap(model)


_BENEATH: Final[ContextVar[Any]] = ContextVar("agenticaiframework_beneath", default=None)
