"""The plan of a workflow that is code: it grows by a step with each call that the code makes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from agenticaiframework.actors import read_usage_limits

from ...definition.policy import Default, Fallback
from ..definition.model import Compensation, StepDefinition, WaitFor, WorkflowFields
from ..definition.plan import Plan, StepPlan
from .forms import stored_form
from .returns import Annotations

if TYPE_CHECKING:
    from ...definition.policy import Retry

MAX_KEPT: Final = 4_096
"""Steps of one workflow that are kept for the next runs."""

CODE: Final = "code"
"""The kind under which a workflow that is code is stored."""

Call = Mapping[str, Any]
"""What the journal says of a call: ``at``, its place; ``ask``, ``step``, ``wait``, ``sleep`` or ``value`` with
what is called; where it applies ``undo`` and ``question``."""


class Code(Protocol):
    """The code that a plan is of: a function, and the types of what goes in and comes out."""

    def take_input(self, given: Any) -> Any:
        """Return the stored form of *given*; raises `InputMismatch`."""
        ...

    def call(self, run: Any, stored: Any) -> Awaitable[Any]:
        """Return the function's coroutine, for an input in its stored form."""
        ...

    def store_result(self, value: Any) -> Any:
        """Return the stored form of what the function returned; raises `OutputMismatch`."""
        ...

    def make_result(self, stored: Any) -> Any:
        """Return the result, of the annotated type, from its stored form."""
        ...


class CallPolicy:
    """What a call is to be done with, beside what the journal says of it."""

    __slots__ = (
        "default",
        "fallback",
        "has_default",
        "key",
        "queue_timeout_s",
        "retry",
        "timeout_s",
    )

    def __init__(
        self,
        retry: Retry | None = None,
        timeout_s: float | None = None,
        queue_timeout_s: float | None = None,
        fallback: str | None = None,
        has_default: bool = False,
        default: Any = None,
    ) -> None:
        self.retry = retry
        self.timeout_s = timeout_s
        self.queue_timeout_s = queue_timeout_s
        self.fallback = fallback
        self.has_default = has_default
        self.default = default
        self.key = (retry, timeout_s, queue_timeout_s, fallback, has_default, repr(default))
        """What tells it from others."""


NO_POLICY: Final = CallPolicy()


class CallPlan(StepPlan):
    """One call, as a step."""

    __slots__ = ("at", "is_value")

    def __init__(self, index: int, step_id: str, call: Call, policy: CallPolicy) -> None:
        super().__init__(index, _definition(step_id, call, policy), ())
        self.call = call
        self.at: str = call["at"]
        """Its place: that of its branch, and its number in there."""
        self.is_value = "value" in call
        """Whether it is a recorded value, which nothing waits for."""

    @property
    def called(self) -> str:
        """What is called, for people."""
        assert self.call is not None, "every step of code is a call"
        return name_of(self.call)


def name_of(call: Call) -> str:
    """Return what a call does, as the code says it.

    >>> name_of({"at": "1", "ask": "writer"}), name_of({"at": "2", "sleep": 60})
    ("ask('writer')", 'sleep(60)')
    """
    for kind in ("ask", "step", "wait", "sleep", "value"):
        if kind in call:
            what = call[kind]
            if kind == "value":
                name, _, rest = str(what).partition("-")
                return f"{name}({rest!r})" if rest else f"{name}()"
            return f"{'wait_for' if kind == 'wait' else kind}({what!r})"
    return "a call"


def _definition(step_id: str, call: Call, policy: CallPolicy) -> StepDefinition:
    fields: dict[str, Any] = {"id": step_id}
    if "wait" in call:
        wait: dict[str, Any] = {"signal": call["wait"], "timeout_seconds": policy.timeout_s}
        if policy.has_default:
            wait["default"] = policy.default
        fields["wait_for"] = WaitFor.model_construct(set(wait), **wait)
    elif "sleep" in call:
        fields["delay"] = call["sleep"]
    else:
        fields["agent"] = call.get("ask") or call.get("step") or call.get("value")
        fields["timeout_seconds"] = policy.timeout_s
        fields["queue_timeout_seconds"] = policy.queue_timeout_s
        fields["retry"] = policy.retry
        if policy.fallback is not None:
            fields["on_error"] = Fallback.model_construct(fallback=policy.fallback)
        elif policy.has_default:
            fields["on_error"] = Default.model_construct(default=policy.default)
        if "undo" in call:
            fields["compensate"] = Compensation.model_construct({"agent"}, agent=call["undo"])
    return StepDefinition.model_construct(set(fields), **fields)


class CodePlan(Plan):
    """A workflow that is code; `for_run` returns the plan of one run, which grows. Never changed itself."""

    __slots__ = ("annotations", "code", "kept")

    grows = True

    def __init__(self, name: str, options: Mapping[str, Any], code: Code | None = None) -> None:
        # Not as the plan of a definition is made: there are no steps to compile.
        self.code = code
        """What it was made from; None where only the store's word is known."""
        self.name = name
        self.timeout_s = options.get("timeout_seconds")
        self.labels = dict(options.get("labels") or {})
        self.definition = WorkflowFields.model_construct(
            {"name"},
            name=name,
            steps=(),
            timeout_seconds=self.timeout_s,
            usage_limits=read_usage_limits(name, options.get("usage_limits")),
            labels=self.labels,
        )
        self.kept: dict[Any, CallPlan] = {}
        """The steps of runs before, by what they are: so that runs which wait share them."""
        self.annotations = Annotations()
        """The types that the functions of its steps are annotated to return."""
        self._text = json.dumps({"kind": CODE, "name": name, **options}, ensure_ascii=False)
        # Its options may change while runs are under way, and its code is compared by running it.
        self._hash = hashlib.sha256(json.dumps([CODE, name]).encode()).hexdigest()[:32]
        self.steps = ()
        self.by_id = {}
        self.depends = {}
        self.waits_for: list[int] = []
        self.roots = ()
        self.names = ()
        self.output = None
        self.foreign = False
        self.compensates = False
        self.needed = ()
        self.bound = None
        self.told = True

    def for_run(self) -> Plan:
        """Return a plan of the same workflow for one run, with no steps so far."""
        return GrowingPlan(self)

    def take_input(self, given: Any) -> Any:
        """Return the stored form of *given*, as its annotation reads it; raises `InputMismatch`."""
        return stored_form(given) if self.code is None else self.code.take_input(given)

    def result_of(self, stored: Any) -> Any:
        """Return what the code returned, of the annotated type."""
        return stored if self.code is None else self.code.make_result(stored)


class GrowingPlan(CodePlan):
    """The calls that the code has made so far in one run. Changed by the run's transitions alone."""

    __slots__ = ("of",)

    def __init__(self, of: CodePlan) -> None:
        self.of = of
        """The workflow."""
        self.code = of.code
        self.name = of.name
        self.timeout_s = of.timeout_s
        self.labels = of.labels
        self.definition = of.definition
        self.kept = of.kept
        self.annotations = of.annotations
        self._text = of.text
        self._hash = of.hash
        self.depends = of.depends
        self.waits_for = of.waits_for
        self.roots = ()
        self.names = ()
        self.output = None
        self.foreign = False
        self.needed = ()
        self.bound = None
        self.told = True
        self.compensates = False
        self.steps: list[CallPlan] = []
        self.by_id: dict[str, CallPlan] = {}

    def for_run(self) -> Plan:
        """Return a plan of the same workflow for another run."""
        return GrowingPlan(self.of)

    def grow(self, step_id: str, call: Call, policy: CallPolicy = NO_POLICY) -> CallPlan:
        """Add a call, the first event of which is about to be applied."""
        plan = self._step(len(self.steps), step_id, call, policy)
        self.steps.append(plan)
        self.by_id[plan.id] = plan
        self.compensates = self.compensates or "undo" in call
        return plan

    def learn(self, plan: CallPlan, policy: CallPolicy) -> CallPlan:
        """Return a call that the journal told of, with what the code says of how it is to be done."""
        assert plan.call is not None, "every step of code is a call"
        known = self._step(plan.index, plan.id, plan.call, policy)
        self.steps[plan.index] = self.by_id[plan.id] = known
        return known

    def shorten(self, length: int) -> None:
        """Forget the calls after the first *length*."""
        for plan in self.steps[length:]:
            self.by_id.pop(plan.id, None)
        del self.steps[length:]

    def after(self, step_id: str) -> set[str]:
        """Return the calls that were made after *step_id*."""
        return {plan.id for plan in self.steps[self.by_id[step_id].index + 1 :]}

    def _step(self, index: int, step_id: str, call: Call, policy: CallPolicy) -> CallPlan:
        key = (index, step_id, policy.key, *call.items()) if "question" not in call else None
        try:
            found = None if key is None else self.kept.get(key)
        except TypeError:  # a default, or seconds, that cannot be a key
            key = found = None
        if found is None:
            found = CallPlan(index, step_id, call, policy)
            if key is not None:
                if len(self.kept) >= MAX_KEPT:
                    self.kept.clear()
                self.kept[key] = found
        return found


def read_code(text: str) -> CodePlan | None:
    """Return the plan of a stored workflow that is code; None for a definition.

    Raises ValueError for what no workflow as code is stored as.
    """
    if not text.startswith(_BEGINNING):
        return None
    options = json.loads(text)
    del options["kind"]
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ValueError(f"a workflow that is code has a text as its name, not {name!r}")
    timeout_s, labels = options.get("timeout_seconds"), options.get("labels")
    if not isinstance(timeout_s, int | float | None):
        raise ValueError(f"a workflow that is code has seconds as its timeout, not {timeout_s!r}")
    if not isinstance(labels, Mapping | None):
        raise ValueError(f"a workflow that is code has a mapping as its labels, not {labels!r}")
    return CodePlan(name, options)


_BEGINNING: Final = json.dumps({"kind": CODE})[:-1] + ","
