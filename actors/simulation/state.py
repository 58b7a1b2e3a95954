"""What the parts of one run share: its plan, loop, trace, and the names of its actors."""

from __future__ import annotations

from .choosers import Chooser
from .explore import ExploringChooser
from .labels import Labels
from .loop import SimLoop
from .plan import FaultPlan
from .trace import Trace


class RunState:
    """What the injector, the observer and the faults read of a run. Written by `Simulation` alone.

    The loop is that of the present boot; all else lasts for the whole run.
    """

    def __init__(
        self,
        *,
        seed: int | None,
        plan: FaultPlan,
        chooser: Chooser | None,
        loop: SimLoop,
        detailed: bool,
    ) -> None:
        self.seed = seed
        self.plan = plan
        #: Whether messages and answers are described in full: for people, at some cost.
        self.detailed = detailed
        self.explorer = chooser if isinstance(chooser, ExploringChooser) else None
        self.labels = Labels()
        self.loop = loop
        self.trace = Trace(lambda: self.loop.time())
        #: Steps of the boots before this one.
        self.steps_before: int = 0
