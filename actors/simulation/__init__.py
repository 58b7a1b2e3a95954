"""Simulation: the code that runs in production, in virtual time, in a chosen order, with faults.

It stands on all other packages of `actors`, which do not know it: a system takes its loop, its ready
queue and its observer as it takes any other. All state is that of one run and belongs to the thread
that makes it; `Simulation` holds it.
"""

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
from .fault_model import FaultModel
from .faults import (
    BlockLoop,
    ClockSkew,
    Crash,
    FailStart,
    FailStore,
    Fault,
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
from .model_faults import (
    CutStream,
    DropConnection,
    HangModel,
    HangTool,
    ModelFault,
    RateLimit,
    Refusal,
    ServerError,
    SlowModel,
    SlowStream,
    WrongAnswer,
)
from .pct import PctChooser, chance_of_finding
from .plan import FaultPlan, Landed
from .planner import ACTOR_FAULTS, MODEL_FAULTS, STORE_FAULTS, Faults, Profile
from .report import Report
from .run import run_sim
from .schedule import Schedule
from .search import FaultSource, Mode, Search, SearchResult
from .sim_cluster import SimCluster, SimNetwork
from .simulation import (
    Attempt,
    Check,
    Scenario,
    Simulation,
    current_simulation,
    simulate_once,
)
from .stepped import SteppedSimulation
from .trace import Event, Trace
from .violations import Violation

__all__ = [
    "ACTOR_FAULTS",
    "MODEL_FAULTS",
    "STORE_FAULTS",
    "Attempt",
    "BadSimulation",
    "BlockLoop",
    "Check",
    "Chooser",
    "ClockSkew",
    "Crash",
    "CutStream",
    "DropConnection",
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
    "HangModel",
    "HangTool",
    "InjectedCrash",
    "Kill",
    "Landed",
    "LateAnswer",
    "LoseNode",
    "Mode",
    "ModelFault",
    "Partition",
    "PctChooser",
    "PowerCut",
    "Profile",
    "RandomChooser",
    "RateLimit",
    "RealIORefused",
    "Refusal",
    "Report",
    "Scenario",
    "Schedule",
    "Search",
    "SearchResult",
    "ServerError",
    "SimCluster",
    "SimLoop",
    "SimNetwork",
    "Simulation",
    "SimulationError",
    "SimulationLivelock",
    "SimulationStalled",
    "SimulationTimeLimit",
    "Slow",
    "SlowModel",
    "SlowStore",
    "SlowStream",
    "SteppedSimulation",
    "StopMachine",
    "SwallowCancel",
    "TornWrite",
    "Trace",
    "Violation",
    "WrongAnswer",
    "chance_of_finding",
    "current_simulation",
    "explore",
    "run_sim",
    "sequence_diagram",
    "simulate_once",
]
