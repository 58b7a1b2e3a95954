"""Simulation: the code that runs in production, in virtual time, in a chosen order, with faults."""

from .candidates import ActorLanes
from .choosers import Chooser, RandomChooser
from .diagram import sequence_diagram
from .errors import (
    BadSimulation,
    InjectedCrash,
    RealIORefused,
    SimulationError,
    SimulationLivelock,
    SimulationStalled,
    SimulationTimeLimit,
)
from .explore import Exploration, explore
from .failure import Failure
from .faults import (
    BlockLoop,
    ClockSkew,
    Crash,
    FailStart,
    FailStore,
    Fault,
    FaultModel,
    FillDisk,
    FillMailbox,
    Garbage,
    Hang,
    Kill,
    LateAnswer,
    LoseNode,
    Partition,
    PowerCut,
    Slow,
    SlowStore,
    StopMachine,
    SwallowCancel,
    TornWrite,
)
from .loop import SimLoop
from .options import check_count, check_seed
from .pct import PctChooser, chance_of_finding
from .plan import FaultPlan, Landed
from .planner import ACTOR_FAULTS, STORE_FAULTS, Faults, Profile
from .report import Report
from .run import run_sim
from .schedule import RecordingChooser, ReplayChooser, Schedule
from .search import FaultSource, Mode, Search, SearchResult
from .shrink import Shrinker
from .simulation import Attempt, Check, Scenario, Simulation, simulate_once
from .stepped import SteppedSimulation
from .tasks import SimTask
from .trace import Event, Trace
from .violations import Violation

__all__ = [
    "ACTOR_FAULTS",
    "STORE_FAULTS",
    "ActorLanes",
    "Attempt",
    "BadSimulation",
    "BlockLoop",
    "Check",
    "Chooser",
    "ClockSkew",
    "Crash",
    "Event",
    "Exploration",
    "FailStart",
    "FailStore",
    "Failure",
    "Fault",
    "FaultModel",
    "FaultPlan",
    "FaultSource",
    "Faults",
    "FillDisk",
    "FillMailbox",
    "Garbage",
    "Hang",
    "InjectedCrash",
    "Kill",
    "Landed",
    "LateAnswer",
    "LoseNode",
    "Mode",
    "Partition",
    "PctChooser",
    "PowerCut",
    "Profile",
    "RandomChooser",
    "RealIORefused",
    "RecordingChooser",
    "ReplayChooser",
    "Report",
    "Scenario",
    "Schedule",
    "Search",
    "SearchResult",
    "Shrinker",
    "SimLoop",
    "SimTask",
    "Simulation",
    "SimulationError",
    "SimulationLivelock",
    "SimulationStalled",
    "SimulationTimeLimit",
    "Slow",
    "SlowStore",
    "SteppedSimulation",
    "StopMachine",
    "SwallowCancel",
    "TornWrite",
    "Trace",
    "Violation",
    "chance_of_finding",
    "check_count",
    "check_seed",
    "explore",
    "run_sim",
    "sequence_diagram",
    "simulate_once",
]
