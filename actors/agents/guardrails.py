"""Guardrails: checks of what an agent is asked and of what it answers, as they are declared.

A `Guardrail` checks *before* the agent is asked, *beside* it (at the same time, so that it costs no time;
tripped, it stops the work), or *after* it, on the answer. Several of one kind are checked in their order,
those beside all at once.

A check that fails itself has not said that all is well, so by default it trips (it fails closed).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias, cast

from ..expected import RequestRejected
from ..looks import attribute_of, shown, text_of
from .errors import AgentDefinitionError
from .inner_steps import SEPARATORS

When: TypeAlias = Literal["before", "beside", "after"]
WHEN: Final = ("before", "beside", "after")


class GuardrailTripped(RequestRejected):
    """A guardrail has stopped a request, or an answer: an expected error, the agent is well.

    *name* is the guardrail's, *reason* what it said, *agent* the agent or team that it guards, *when* one
    of ``before``, ``beside`` and ``after``. *failed* tells that the check itself failed, or said
    nothing that can be understood: the guardrail fails closed.
    """

    def __init__(
        self,
        name: str,
        reason: str = "",
        *,
        agent: str = "",
        when: When = "before",
        failed: bool = False,
    ) -> None:
        what = "the answer" if when == "after" else "the request"
        whose = f" of {agent!r}" if agent else ""
        because = f": {reason}" if reason else ""
        super().__init__(f"The guardrail {name!r}{whose} stopped {what}{because}")
        self.name = name
        self.reason = reason
        self.agent = agent
        self.when = when
        self.failed = failed


class RepairWanted(RequestRejected):
    """The answer is to be made again, with *feedback*; raised to whatever can have it made again."""

    def __init__(self, name: str, feedback: str) -> None:
        super().__init__(f"The guardrail {name!r} wants another answer: {feedback}")
        self.name = name
        self.feedback = feedback


@dataclass(frozen=True, slots=True)
class Stop:
    """Returned by a guardrail's check: the request or the answer goes no further."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Replace:
    """Returned by a check: *value* takes the place of the payload (before) or of the answer (after)."""

    value: Any


@dataclass(frozen=True, slots=True)
class Repair:
    """Returned by a check of an answer: the model gets *feedback* and answers again, a few times at most.

    Where nothing can answer again, an agent with a handler, it stops the answer.
    """

    feedback: str


Judgement: TypeAlias = Stop | Replace | Repair | None
"""What a check comes to; None: all is well."""


@dataclass(frozen=True, slots=True)
class GuardrailVerdict:
    """What an agent with a model answers with as a guardrail, if it has no output type of its own."""

    passes: bool
    """Whether what was checked may go on."""
    reason: str = ""
    """Why it may not, in a sentence."""


@dataclass(frozen=True, eq=False)
class Guardrail:
    """A check of an agent's requests or answers, and when it is made.

    *check* is a function, plain (it runs in a thread) or ``async``, or an agent. It gets the payload;
    *after*, the answer, or with two parameters the payload and the answer (an agent gets both, as
    ``{"input", "answer"}``). It returns None or True for what is well, False or `Stop` for what is not,
    `Replace` (before, after) or `Repair` (after). An agent says the same in a field: ``passes`` (or ``ok``) true, or ``tripped``
    false, with a ``reason``; *stop_if*, a function of its answer, tells it of any other answer. An agent with
    a model and without an output type is asked for a `GuardrailVerdict`.

    *on_error* is what happens when the check itself fails, or takes longer than *timeout* seconds:
    ``"stop"`` trips the guardrail, ``"pass"`` lets it through, and it is logged.
    """

    check: Any
    when: When = "before"
    name: str = ""
    stop_if: Callable[[Any], bool] | None = None
    on_error: Literal["stop", "pass"] = "stop"
    timeout: float | None = None

    def __post_init__(self) -> None:
        form = 'Guardrail(no_homework, when="beside", name="no homework")'
        problem = _problem(self)
        if problem:
            raise AgentDefinitionError(f"{problem}; for example: {form}")
        if not self.name:
            object.__setattr__(self, "name", _name_of(self.check))

    @property
    def is_agent(self) -> bool:
        """Whether *check* is asked by message."""
        return callable(getattr(self.check, "ask", None))

    @property
    def takes_both(self) -> bool:
        """Whether *check* is a function of the payload and the answer."""
        if self.is_agent:
            return False
        try:
            parameters = inspect.signature(self.check).parameters.values()
        except (TypeError, ValueError):
            return False
        needed = [
            p
            for p in parameters
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
        ]
        return len(needed) > 1


def read_guardrails(owner: str, given: Any) -> tuple[Guardrail, ...]:
    """Return what *owner* was given as guardrails, checked: a bare function or agent checks before."""
    if given is None:
        return ()
    if isinstance(given, (str, Mapping)) or not isinstance(given, Iterable):
        given = (given,)
    found: list[Guardrail] = []
    names: dict[str, int] = {}
    for item in cast("Iterable[Any]", given):
        guardrail = item if isinstance(item, Guardrail) else None
        if guardrail is None:
            if not callable(item) and not callable(getattr(item, "ask", None)):
                raise AgentDefinitionError(
                    f"a guardrail of {owner!r} is a Guardrail, a function of the payload or an agent, not "
                    f"{shown(item, 60)}; for example: guardrails=[Guardrail(no_homework, "
                    'when="beside")]'
                )
            guardrail = Guardrail(item)
        count = names[guardrail.name] = names.get(guardrail.name, 0) + 1
        found.append(
            guardrail if count == 1 else replace(guardrail, name=f"{guardrail.name} {count}")
        )
    return tuple(found)


# -- what a check says -----------------------------------------------------------------------------

_GOOD: Final = ("passes", "passed", "ok", "allowed")
_BAD: Final = ("tripped", "blocked", "tripwire_triggered")
_REASONS: Final = ("reason", "reasoning", "feedback")


def read_judgement(guardrail: Guardrail, said: Any) -> Judgement:
    """Return what *said*, the result of the check, means; raises TypeError if it cannot be told."""
    if isinstance(said, (Stop, Replace, Repair)):
        if guardrail.when == "beside" and not isinstance(said, Stop):
            raise TypeError(f"a check beside the request can only stop it, not {said!r}")
        if guardrail.when == "before" and isinstance(said, Repair):
            raise TypeError("there is no answer yet that could be repaired: use Stop or Replace")
        return said
    if guardrail.stop_if is not None:
        return Stop(_reason(said)) if guardrail.stop_if(said) else None
    if said is None or said is True:
        return None
    if said is False:
        return Stop()
    for names, well in ((_GOOD, True), (_BAD, False)):
        for name in names:
            value = _field(said, name)
            if isinstance(value, bool):
                return None if value is well else Stop(_reason(said))
    raise TypeError(
        f"its check returned {shown(said, 80)}, which says neither that all is well nor that it is not. "
        "Return True, False, Stop(reason), or a field `passes`; or give stop_if=, a function of this"
    )


def judgement_to_data(judgement: Judgement) -> dict[str, Any]:
    """Return *judgement* as what a store can keep."""
    match judgement:
        case None:
            return {"verdict": "pass"}
        case Stop(reason):
            return {"verdict": "stop", "reason": reason}
        case Repair(feedback):
            return {"verdict": "repair", "reason": feedback}
        case Replace(value):
            return {"verdict": "replace", "value": value}


def judgement_from_data(data: Mapping[str, Any]) -> Judgement:
    """Return the judgement that was kept as *data*."""
    match data["verdict"]:
        case "stop":
            return Stop(data["reason"])
        case "repair":
            return Repair(data["reason"])
        case "replace":
            return Replace(data["value"])
        case _:
            return None


def _field(said: Any, name: str) -> Any:
    if isinstance(said, Mapping):
        return cast("Mapping[str, Any]", said).get(name)
    return attribute_of(said, name)


def _reason(said: Any) -> str:
    for name in _REASONS:
        value = _field(said, name)
        if isinstance(value, str):
            return value
    return said if isinstance(said, str) else ""


def _name_of(check: Any) -> str:
    name = attribute_of(check, "name") or attribute_of(check, "__name__") or type(check).__name__
    return "".join("_" if sign in SEPARATORS else sign for sign in text_of(name))


def _problem(guardrail: Guardrail) -> str:
    if not callable(guardrail.check) and not guardrail.is_agent:
        return f"a guardrail's check is a function or an agent, not {shown(guardrail.check, 60)}"
    if guardrail.when not in WHEN:
        return f"a guardrail checks before, beside or after, not {guardrail.when!r}"
    if guardrail.on_error not in ("stop", "pass"):
        return f'on_error of a guardrail is "stop" or "pass", not {guardrail.on_error!r}'
    if guardrail.name and not SEPARATORS.isdisjoint(guardrail.name):
        return f"a guardrail's name has no '/' and no '#': {guardrail.name!r}"
    return ""


__all__ = [
    "Guardrail",
    "GuardrailTripped",
    "GuardrailVerdict",
    "Judgement",
    "Repair",
    "RepairWanted",
    "Replace",
    "Stop",
    "When",
    "judgement_from_data",
    "judgement_to_data",
    "read_guardrails",
    "read_judgement",
]
