"""The closed vocabularies of supervision: strategies, restart types, child types.

The members compare equal to their plain words (``SupervisionStrategy.ONE_FOR_ALL == "one_for_all"``),
so that specifications can be written in Python, JSON and YAML alike.
"""

from __future__ import annotations

from enum import StrEnum


class SupervisionStrategy(StrEnum):
    """Who is restarted when one child fails.

    With children a, b, c, d started in this order, and b failing:

    - ``ONE_FOR_ONE``: b is restarted;
    - ``ONE_FOR_ALL``: d, c, a are stopped, then a, b, c, d started;
    - ``REST_FOR_ONE``: d, c are stopped, then b, c, d started; a is left alone;
    - ``SIMPLE_ONE_FOR_ONE``: any number of like children, made from one template, each on its own.
    """

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"
    SIMPLE_ONE_FOR_ONE = "simple_one_for_one"


class RestartType(StrEnum):
    """Whether a child that ended comes back.

    - ``PERMANENT``: always;
    - ``TRANSIENT``: unless it ended in an orderly way (``normal``, ``shutdown``, ``shutdown(x)``);
    - ``TEMPORARY``: never, and its specification goes with it.
    """

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class AutoShutdown(StrEnum):
    """Whether a supervisor ends itself (reason ``shutdown``) once its significant children have.

    Example: a job with a `significant` coordinator and three helpers; with ``ANY_SIGNIFICANT`` the
    coordinator's normal end takes the helpers and the supervisor down with it.
    """

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class Exhausted(StrEnum):
    """What an `AgentSupervisor` does when a child has failed too often.

    With children a, b, c, and b failing once more than the limit allows:

    - ``COOL_DOWN``: b stays down until the period of its limit has passed, and is then started
      afresh, with no failures counted; a and c run on. Under ``one_for_all`` a and c wait with it,
      under ``rest_for_one`` c does;
    - ``ESCALATE``: the supervisor stops its children and ends; the one above it decides what follows,
      and where there is none the program is told;
    - ``STOP``: the same, but the one above does not start it again.
    """

    COOL_DOWN = "cool_down"
    ESCALATE = "escalate"
    STOP = "stop"


class ChildType(StrEnum):
    """Whether a child is a worker or a supervisor; decides its default shutdown time."""

    WORKER = "worker"
    SUPERVISOR = "supervisor"


class ChildState(StrEnum):
    """The state of a child."""

    NEW = "new"
    """Its supervisor has never run."""
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    """Between two incarnations: its backoff, a start that is tried again, or the end of another's."""
    DECIDING = "deciding"
    """It failed, and the failure handler has not answered yet."""
    COOLING_DOWN = "cooling down"
    """It, or one that it is restarted with, failed too often; it is started afresh later."""
    STOPPED = "stopped"
    """It ended, and its restart type, the failure handler or a request keeps it down."""
    GAVE_UP = "gave up"
    """It failed too often."""
    FAILED = "failed"
    """It did not start when it was added."""
    REMOVED = "removed"

    @property
    def is_down(self) -> bool:
        """Whether it stays as it is until a request, or its supervisor's start, changes that."""
        return self in _DOWN

    @property
    def is_passing(self) -> bool:
        """Whether it goes on to another state by itself."""
        return self in _PASSING


_PASSING = frozenset(
    {ChildState.STARTING, ChildState.RESTARTING, ChildState.DECIDING, ChildState.COOLING_DOWN}
)
_DOWN = frozenset({ChildState.STOPPED, ChildState.GAVE_UP, ChildState.FAILED, ChildState.REMOVED})
