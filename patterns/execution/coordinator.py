"""The actor that runs one execution of a pattern and ends with it."""

from __future__ import annotations

from typing import Any, ClassVar, Final, cast

from agenticaiframework.actors import (
    NORMAL,
    SHUTDOWN,
    Actor,
    ActorDied,
    ActorRef,
    enter_agent_context,
    enter_meter,
    open_meter,
    with_context,
)

from ..vocabulary.errors import NO_OUTCOMES, PatternFailed
from .execution import Execution

END_GRACE_S: Final = 10.0
"""How long the end of a stopped coordinator is waited for; it then goes on ending by itself."""

CONDUCT: Final = "conduct"
"""The one message that a coordinator gets, in the context of the execution."""


class Coordinator(Actor):
    """Runs one `Execution` and stops. It has no links, so it takes nothing but its own work down.

    When it is stopped or killed, its handler is cancelled at its await, and with it every ask that
    is under way, so that the agents' own work for this execution is stopped too.

    Most executions ask agents only, and their coordinators need no hooks at their end, which take 3 %
    of a run of three steps. One that starts actors of its own becomes a `KeepingCoordinator`.
    """

    # An error that is not kept as an outcome ends the coordinator and its asker, and nothing else.
    crash_on_ask_error = True
    exit_is_crash = True
    coordinates: ClassVar[str] = "pattern"
    """What it runs, in a word."""

    def __init__(self, execution: Execution) -> None:
        super().__init__()
        self.execution = execution
        execution.coordinator = self.actor_ref
        execution.keeper = self

    def circle_name(self, ref: Any) -> str:
        """Return the name of what it executes."""
        return self.execution.name

    async def on_receive(self, message: Any) -> None:
        run = self.execution
        if run.scope.context is not None:
            enter_agent_context(run.scope.context)
        run.meter = open_meter(run.pattern.metered_as, run.name, run.limits)
        enter_meter(run.meter)
        try:
            if run.timeout_s is None:
                run.value = await run.pattern.coordinate(run)
            else:
                run.value = await run.within_limit(run.timeout_s)
        except PatternFailed as error:
            run.error = error
        except NO_OUTCOMES:
            raise
        except BaseException as error:
            run.error = run.broken(error)
        finally:
            run.keeper = None
        run.finish()
        # Not `stop`, which is a message and a turn more.
        run.system.end_actor(self.actor_ref, NORMAL)

    def keep_children(self) -> None:
        """From now on there are actors that have to end with this one, in whatever way it ends."""
        cast(Any, self).__class__ = KeepingCoordinator


class KeepingCoordinator(Coordinator):
    """A coordinator that ends the actors which work for its execution when it ends itself."""

    def keep_children(self) -> None:
        """It does already."""

    def on_stop(self) -> None:
        self.execution.end_children()

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.execution.end_children()


class StreamedCoordinator(KeepingCoordinator):
    """A coordinator whose execution is read event by event: its end is always told."""

    def on_stop(self) -> None:
        super().on_stop()
        self.execution.lost(self.exit_reason)

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        super().on_failure(exception_type, exception_value, traceback)
        self.execution.lost(exception_value)


def coordinated_by(ref: ActorRef[Any]) -> str | None:
    """Return what *ref*'s actor runs an execution of, ``pattern`` or ``team``; None for other actors."""
    kind = ref.actor_class
    return kind.coordinates if issubclass(kind, Coordinator) else None


async def run_to_end(execution: Execution, coordinator: ActorRef[Any]) -> None:
    """Have *coordinator* run *execution* in the caller's context, and return once it is over.

    When the awaiting code is cancelled, the execution is stopped first.
    """
    owner = execution.scope.owner
    if owner is not None:
        owner.adopt(coordinator)
    try:
        await coordinator.request(with_context(CONDUCT))
    except ActorDied as error:
        execution.lost(error.reason)
        await execution.released()
    except BaseException:
        # It stays adopted: if the owner was killed, nothing that is said here is heard.
        owner = None
        await stop_execution(execution, coordinator)
        raise
    finally:
        if owner is not None:
            owner.disown(coordinator)


async def stop_execution(execution: Execution, coordinator: ActorRef[Any]) -> None:
    """Stop *execution*, and wait until it has ended, and undone what it undoes.

    So that nothing of it is left when the caller of a cancelled execution goes on.
    """
    coordinator.exit(SHUTDOWN)
    await execution.system.wait_ended(coordinator, END_GRACE_S)
    await execution.released()
