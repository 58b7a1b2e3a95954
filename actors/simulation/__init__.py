"""Simulation: the code that runs in production, in virtual time and in a chosen order."""

from .choosers import Chooser, RandomChooser
from .errors import RealIORefused, SimulationError, SimulationLivelock, SimulationStalled
from .loop import SimLoop
from .run import run_sim
from .tasks import SimTask

__all__ = [
    "Chooser",
    "RandomChooser",
    "RealIORefused",
    "SimLoop",
    "SimTask",
    "SimulationError",
    "SimulationLivelock",
    "SimulationStalled",
    "run_sim",
]
