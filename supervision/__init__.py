"""Supervision: OTP's supervisor for actors and agents."""

from .backoff import Backoff, BackoffType
from .child_spec import (
    BRUTAL_KILL,
    INFINITY,
    Budget,
    ChildSpec,
    Started,
    check_child_spec,
    check_child_specs,
)
from .flags import SupervisorFlags, check_flags
from .intensity import RestartWindow
from .kinds import AutoShutdown, ChildType, RestartType, SupervisionStrategy
from .reports import ReportKind, SupervisorReport
from .requests import (
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
    terminate_child,
    which_child,
    which_children,
)
from .restart_policy import InvalidRestartPolicy, RestartPolicy
from .results import (
    AlreadyStarted,
    BadStartReturn,
    ChildInfo,
    ChildProblem,
    Counts,
    Error,
    FailedToStartChild,
    Ok,
    Refused,
    StartCrashed,
    StartError,
    SupervisionError,
)
from .spec_errors import (
    BadReturn,
    BadStartSpec,
    FlagError,
    FlagProblem,
    InvalidChildSpec,
    InvalidFlags,
    SpecError,
    SpecProblem,
    StartSpec,
    SupervisorData,
)
from .supervisor import Supervisor, UnknownRequest
