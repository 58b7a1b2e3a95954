"""Supervision: OTP's supervisor for actors and agents.

Knows `agenticaiframework.actors` by what it exports. Its packages, lowest first: `vocabulary`, `policy`,
`machine` (OTP's supervisor), `supervisors` (the classes with named children). Each says who owns its state.
"""

from .machine.dynamic_supervisor import DynamicSupervisor
from .machine.reports import ChildRestarting, ReportKind, SupervisorReport
from .machine.requests import (
    CountChildren,
    DeleteChild,
    GetChildSpec,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChild,
    WhichChildren,
    count_children,
    delete_child,
    get_childspec,
    restart_child,
    start_child,
    stop_supervisor,
    terminate_child,
    which_child,
    which_children,
)
from .machine.results import AlreadyStarted, ChildInfo, ChildProblem, Counts, Error, Ok, StartError
from .machine.starting import Started, StartFunction
from .machine.supervisable import Supervisable
from .machine.supervisor import Supervisor
from .policy.backoff import Backoff, BackoffType
from .policy.child_spec import BRUTAL_KILL, INFINITY, Budget, ChildSpec, check_child_specs
from .policy.flags import SupervisorFlags
from .policy.restart_policy import RestartPolicy
from .supervisors.agent_supervisor import AgentSupervisor
from .supervisors.branch import Branch, branch_of, root_supervisors
from .supervisors.health import Health, HealthProblem, HealthStatus, health_of
from .supervisors.partition_supervisor import PartitionSupervisor, partition_of
from .supervisors.supervised_child import SupervisedChild
from .supervisors.task import StillRunning, Task, yield_many
from .supervisors.task_supervisor import TaskSupervisor
from .supervisors.tree import SupervisionTree, tree_of_ref
from .vocabulary.errors import (
    BadOption,
    ChildExited,
    ChildStopped,
    DuplicateChild,
    Refused,
    SupervisionError,
    SupervisorNotRunning,
    SupervisorStartFailed,
    UnknownChild,
    UnknownRequest,
    WaitsForOwnStart,
    WaitTimeout,
)
from .vocabulary.kinds import (
    AutoShutdown,
    ChildState,
    ChildType,
    Exhausted,
    RestartType,
    SupervisionStrategy,
)
from .vocabulary.mermaid import mermaid_text
from .vocabulary.problems import FlagError, FlagProblem, SpecError, SpecProblem
from .vocabulary.reasons import (
    BadReturn,
    BadStartReturn,
    BadStartSpec,
    FailedToStartChild,
    StartCrashed,
    StartSpec,
    SupervisorData,
    TooManyFailures,
)

__all__ = [
    "BRUTAL_KILL",
    "INFINITY",
    "AgentSupervisor",
    "AlreadyStarted",
    "AutoShutdown",
    "Backoff",
    "BackoffType",
    "BadOption",
    "BadReturn",
    "BadStartReturn",
    "BadStartSpec",
    "Branch",
    "Budget",
    "ChildExited",
    "ChildInfo",
    "ChildProblem",
    "ChildRestarting",
    "ChildSpec",
    "ChildState",
    "ChildStopped",
    "ChildType",
    "CountChildren",
    "Counts",
    "DeleteChild",
    "DuplicateChild",
    "DynamicSupervisor",
    "Error",
    "Exhausted",
    "FailedToStartChild",
    "FlagError",
    "FlagProblem",
    "GetChildSpec",
    "Health",
    "HealthProblem",
    "HealthStatus",
    "Ok",
    "PartitionSupervisor",
    "Refused",
    "ReportKind",
    "RestartChild",
    "RestartPolicy",
    "RestartType",
    "SpecError",
    "SpecProblem",
    "StartChild",
    "StartCrashed",
    "StartError",
    "StartFunction",
    "StartSpec",
    "Started",
    "StillRunning",
    "Supervisable",
    "SupervisedChild",
    "SupervisionError",
    "SupervisionStrategy",
    "SupervisionTree",
    "Supervisor",
    "SupervisorData",
    "SupervisorFlags",
    "SupervisorNotRunning",
    "SupervisorReport",
    "SupervisorStartFailed",
    "Task",
    "TaskSupervisor",
    "TerminateChild",
    "TooManyFailures",
    "UnknownChild",
    "UnknownRequest",
    "WaitTimeout",
    "WaitsForOwnStart",
    "WhichChild",
    "WhichChildren",
    "branch_of",
    "check_child_specs",
    "count_children",
    "delete_child",
    "get_childspec",
    "health_of",
    "mermaid_text",
    "partition_of",
    "restart_child",
    "root_supervisors",
    "start_child",
    "stop_supervisor",
    "terminate_child",
    "tree_of_ref",
    "which_child",
    "which_children",
    "yield_many",
]
