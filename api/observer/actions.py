"""What can be done through the observer, which users may do it, and the record of it."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import AgenticError, near_names
from agenticaiframework.patterns.engine import strict_json
from agenticaiframework.supervision import Ok, restart_child, terminate_child

from .data import ObserverAction
from .data.texts import text
from .data.tree import place_of

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef

    from .data import Observed


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done: to an ``actor``, a ``run`` or a ``schedule``."""

    name: str
    of: str
    label: str
    says: str
    """What happens, for the one who is asked to confirm it."""
    harsh: bool = False
    fields: tuple[tuple[str, str, str], ...] = ()
    """What is asked for: the name, the label, and the kind (``text``, ``json``)."""


_REASON: Final = ("reason", "Reason", "text")

ACTIONS: Final[Mapping[str, Action]] = {
    one.name: one
    for one in (
        Action(
            "restart", "actor", "Restart",
            "It ends after its handler, or by force, and its supervisor starts it again. What it "
            "handles fails; its mailbox is kept where its supervisor keeps it.",
            True,
        ),
        Action(
            "stop", "actor", "Stop",
            "It ends in order, and stays down: a supervised child until it is restarted.",
            True,
        ),
        Action("suspend", "actor", "Suspend", "It handles no message until it is resumed; they wait."),
        Action("unsuspend", "actor", "Resume", "It handles its messages again."),
        Action(
            "cancel", "run", "Cancel",
            "Its running steps are stopped, later ones never run, and what has finished is "
            "compensated, the latest first.",
            True,
            (_REASON,),
        ),
        Action(
            "resume", "run", "Resume",
            "It goes on in the background at the step that failed; finished steps never run again.",
        ),
        Action(
            "signal", "run", "Send signal",
            "The first step that waits for it takes it, now or later.",
            False,
            (("signal", "Signal", "text"), ("payload", "Payload (JSON, or text)", "json")),
        ),
        Action(
            "answer", "run", "Answer",
            "The handler that has asked is called again, and gets the answer.",
            False,
            (("question", "Question", "text"), ("payload", "Answer (JSON, or text)", "json")),
        ),
        Action(
            "approve", "run", "Approve",
            "The tool is called that the model has asked for.",
            False,
            (("question", "Call", "text"),),
        ),
        Action(
            "deny", "run", "Deny",
            "The tool is not called; the model is told the reason.",
            True,
            (("question", "Call", "text"), _REASON),
        ),
        Action(
            "pause_schedule", "schedule", "Pause",
            "It starts nothing until it is resumed. Its runs go on.",
            False,
            (_REASON,),
        ),
        Action(
            "resume_schedule", "schedule", "Resume",
            "It starts what is due from now on. What was due meanwhile was missed, and its rule for "
            "that says what is started of it.",
        ),
        Action(
            "trigger_schedule", "schedule", "Start now",
            "A run of it is started now, whether it is paused or not; what is due later stays so.",
        ),
        Action(
            "delete_schedule", "schedule", "Remove",
            "It is forgotten; the runs that it has started stay. A service that makes it at its start "
            "makes it again.",
            True,
        ),
    )
}  # fmt: skip
"""All that can be enabled, by name."""


KINDS: Final = ("actor", "run", "schedule")
"""What something can be done to."""

_LOGGED_AS: Final[Mapping[str, str]] = {"actor": "actor", "run": "workflow", "schedule": "schedule"}


class Refused(AgenticError, ValueError):
    """What was asked for was not done."""


def read_actions(actions: bool | Collection[str]) -> frozenset[str]:
    """Return the names of the actions that are on. Raises ValueError for one that there is not."""
    if isinstance(actions, bool):
        return frozenset(ACTIONS) if actions else frozenset()
    if isinstance(actions, str):
        actions = (actions,)
    for name in actions:
        if name not in ACTIONS:
            raise ValueError(
                f"{name!r} is not an action of the observer. {near_names(name, ACTIONS)}"
            )
    return frozenset(actions)


class Actions:
    """Does what is enabled, and records each attempt: in the log, and as an `ObserverAction`."""

    def __init__(self, observed: Observed, enabled: frozenset[str]) -> None:
        self._observed = observed
        self.enabled = enabled

    def offered(self, of: str) -> list[Action]:
        """Return what is enabled for an ``actor``, a ``run`` or a ``schedule``."""
        return [one for one in ACTIONS.values() if one.of == of and one.name in self.enabled]

    async def do(self, who: str, action: str, target: str, fields: Mapping[str, str]) -> str:
        """Do *action* to *target*, a run's id, an actor's number or a schedule's name; return what came of it.

        Raises `Refused`, whatever it was that failed.
        """
        if action not in ACTIONS:
            raise Refused(f"{text(action)!r} is not an action of the observer")
        if action not in self.enabled:
            raise Refused(
                f"{action!r} is not enabled here: observer_app(..., actions=[{action!r}])"
            )
        try:
            result = await self._observed.here(lambda: self._do(action, target, fields))
        except Refused as error:
            self._record(who, action, target, str(error), ok=False)
            raise
        except Exception as error:
            said = text(error, 500) or type(error).__name__
            self._record(who, action, target, said, ok=False)
            raise Refused(said) from error
        self._record(who, action, target, result, ok=True)
        return result

    def _record(self, who: str, action: str, target: str, result: str, *, ok: bool) -> None:
        system = self._observed.system
        event = ObserverAction(text(who), action, text(target, 200), result, ok, time.time())
        field = {_LOGGED_AS[ACTIONS[action].of]: event.target}
        system.log.bind(who=event.who, action=action, **field).write(
            "INFO" if ok else "WARNING",
            "observer: {} did {} to {}: {}" if ok else "observer: {} could not {} {}: {}",
            event.who, action, event.target, event.result,
        )  # fmt: skip
        self._observed.from_any_thread(lambda: system.publish(event))

    async def _do(self, action: str, target: str, fields: Mapping[str, str]) -> str:
        if action in _ENGINE_ACTIONS:
            try:
                return await _ENGINE_ACTIONS[action](self._observed, target, fields)
            finally:
                self._observed.changed()
        if not target.isdigit():
            raise Refused(f"{text(target)!r} is not the number of an actor")
        ref = await self._observed.find(int(target))
        if ref is None:
            raise Refused(
                f"There is no actor {target} any more: it may have been restarted meanwhile."
            )
        return await self._to_actor(action, ref)

    async def _to_actor(self, action: str, ref: ActorRef[Any]) -> str:
        system = self._observed.system
        name = text(ref.label)
        if action == "suspend":
            system.suspend(ref)
            return f"{name} is suspended"
        if action == "unsuspend":
            system.resume(ref)
            return f"{name} handles messages again"
        parent = system.info(ref).parent
        found = None if parent is None else await place_of(system, parent, ref.pid, None)
        if found is None or parent is None:
            if action == "restart":
                raise Refused(f"{name} has no supervisor that would start it again.")
            system.end_actor(ref)
            return f"{name} was told to end"
        node, _, branch = found
        if branch.dynamic:
            if action == "restart":
                system.end_actor(ref, "restarted by an operator")
                return f"{name} was ended; its supervisor starts it again if it is permanent"
            _checked(await terminate_child(parent, ref), name)
            return f"{name} was stopped"
        _checked(await terminate_child(parent, node.name), name)
        if action == "stop":
            return f"{name} was stopped, and stays down"
        _checked(await restart_child(parent, node.name), name)
        return f"{name} was restarted"


def _checked(result: Any, name: str) -> None:
    if not isinstance(result, Ok):
        raise Refused(f"{name}: {text(getattr(result, 'error', result), 300)}")


# -- runs and schedules ------------------------------------------------------------------------------------------


def read_payload(said: str) -> Any:
    """Return *said* as JSON, or as the text that it is; None if it is empty.

    Raises `Refused` for JSON in which a key stands twice, and for NaN.

    >>> read_payload('{"a": 1}'), read_payload("yes please"), read_payload(" ")
    ({'a': 1}, 'yes please', None)
    """
    if not said.strip():
        return None
    try:
        return strict_json(said)
    except json.JSONDecodeError:
        return said
    except (ValueError, RecursionError) as error:
        raise Refused(f"the value cannot be read: {error}") from None


async def _cancel(observed: Observed, run_id: str, fields: Mapping[str, str]) -> str:
    reason = fields.get("reason") or "cancelled by an operator"
    report = await observed.known_engine().cancel_workflow(run_id, reason)
    if report.already_finished:
        return f"it had ended already: {report.state}"
    return f"it is {report.state}"


async def _resume(observed: Observed, run_id: str, _fields: Mapping[str, str]) -> str:
    status = await observed.known_engine().resume_workflow(run_id)
    return f"it is {status.state}"


async def _signal(observed: Observed, run_id: str, fields: Mapping[str, str]) -> str:
    signal = fields.get("signal", "").strip()
    if not signal:
        raise Refused("Name the signal that is to be sent.")
    payload = read_payload(fields.get("payload", ""))
    report = await observed.known_engine().signal_workflow(run_id, signal, payload)
    return f"the signal {text(report.signal)} is kept; the run is {report.state}"


async def _answer(observed: Observed, run_id: str, fields: Mapping[str, str]) -> str:
    question = fields.get("question", "").strip()
    payload = read_payload(fields.get("payload", ""))
    report = await observed.known_engine().answer(run_id, question, payload)
    return f"{text(report.question)} is answered"


async def _approve(observed: Observed, run_id: str, fields: Mapping[str, str]) -> str:
    call = fields.get("question", "").strip()
    report = await observed.known_engine().approve(run_id, call)
    return f"{text(report.question)} is approved"


async def _deny(observed: Observed, run_id: str, fields: Mapping[str, str]) -> str:
    call = fields.get("question", "").strip()
    reason = fields.get("reason") or None
    report = await observed.known_engine().approve(run_id, call, False, reason=reason)
    return f"{text(report.question)} is denied"


async def _pause_schedule(observed: Observed, name: str, fields: Mapping[str, str]) -> str:
    await observed.known_engine().pause_schedule(name, fields.get("reason") or None)
    return "it is paused"


async def _resume_schedule(observed: Observed, name: str, _fields: Mapping[str, str]) -> str:
    await observed.known_engine().resume_schedule(name)
    return "it goes on"


async def _trigger_schedule(observed: Observed, name: str, _fields: Mapping[str, str]) -> str:
    run_id = await observed.known_engine().trigger_schedule(name)
    return f"the run {text(run_id, 200)} is started"


async def _delete_schedule(observed: Observed, name: str, _fields: Mapping[str, str]) -> str:
    await observed.known_engine().delete_schedule(name)
    return "it is removed"


_ENGINE_ACTIONS: Final[
    Mapping[str, Callable[[Observed, str, Mapping[str, str]], Awaitable[str]]]
] = {
    "cancel": _cancel,
    "resume": _resume,
    "signal": _signal,
    "answer": _answer,
    "approve": _approve,
    "deny": _deny,
    "pause_schedule": _pause_schedule,
    "resume_schedule": _resume_schedule,
    "trigger_schedule": _trigger_schedule,
    "delete_schedule": _delete_schedule,
}
