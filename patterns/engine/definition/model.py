"""Steps, and the fields of workflows: frozen models, checked field by field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, Final, Literal, Self, cast

from pydantic import Field, field_validator, model_validator

from ...definition.definition import Definition
from ...definition.fields import LimitsField, Seconds
from ...definition.policy import Fallback, OnError, RetryField
from ...vocabulary.bound_names import BoundNames, open_names
from ...vocabulary.target import Target
from .fields import ExpressionText, ShapeField, TargetName
from .forms import dump_json, dump_yaml, plain_form

_ID: Final = re.compile(r"[^\W\d]\w*(?:-\w+)*")

RESERVED: Final = frozenset({"input", "item", "index", "output", "iteration"})
"""Names with a meaning of their own in expressions; no step is called so."""

WORK_FIELDS: Final = ("agent", "team", "pattern", "workflow", "wait_for", "delay")


class WaitFor(Definition):
    """A wait for a signal from outside: `engine.signal_workflow(id, signal, payload)`.

    The payload is the step's output. After *timeout_seconds* the output is *default*, if one is given
    (None counts), else the step fails. Without a time limit it waits for ever, at the cost of a few
    hundred bytes.
    """

    signal: str = Field(min_length=1)
    """The name of the signal."""
    timeout_seconds: Seconds | None = None
    default: Any = None
    when: ExpressionText | None = None
    """Only a signal counts for which this holds; ``$output`` is its payload."""

    also_known_as: ClassVar[Mapping[str, str]] = {
        "timeout": "timeout_seconds",
        "timeout_s": "timeout_seconds",
        "deadline_seconds": "timeout_seconds",
    }

    @property
    def has_default(self) -> bool:
        """Whether a default was given, be it None."""
        return "default" in self.model_fields_set


def _read_wait(value: Any) -> Any:
    return {"signal": value} if isinstance(value, str) else value


class Compensation(Definition):
    """What undoes a finished step when the workflow fails or is cancelled later.

    Compensations run one after another, the latest finished step's first. *input* may refer to the
    workflow's input and to every step's output; without it, the agent gets the step's own output.
    """

    agent: TargetName
    """The agent that undoes it."""
    input: Any = None
    timeout_seconds: Seconds | None = None
    """The time limit of an attempt to undo it."""
    retry: RetryField = None
    """How often a failed attempt to undo it is made again."""

    also_known_as: ClassVar[Mapping[str, str]] = {"timeout": "timeout_seconds"}


def _read_compensation(value: Any) -> Any:
    if isinstance(value, (Compensation, Mapping)) or value is None:
        return cast("Any", value)
    return {"agent": value}


class StepDefinition(Definition):
    """One step. Exactly one of agent, team, pattern, workflow, wait_for says what it does.

    ``delay`` alone is a pause; with work it comes before the work. Without ``depends_on`` a step
    waits for all steps above it; with it, for those named and those that its references read.
    """

    id: str
    """Names the step and its output: letters, digits, ``_`` and ``-``."""
    description: str = ""
    """For people; nothing reads it."""

    agent: TargetName | None = None
    """The agent that is asked: its name, the agent itself, or a function."""
    team: TargetName | None = None
    """The team that works: its name, or the team itself."""
    pattern: TargetName | None = None
    """The pattern that runs: its name, the pattern itself, or a kind beside ``agents``."""
    workflow: Any = None
    """A workflow's name or definition; beside ``team``: the team's steps of roles and actions."""
    agents: tuple[TargetName, ...] = ()
    """Beside a kind of pattern (``pattern: parallel``): the agents that it runs."""
    root: TargetName | None = None
    """With ``agents``: what a pattern kind (``pattern: parallel``) runs."""
    wait_for: WaitFor | None = None
    """The signal that it waits for: its name, or a `WaitFor`."""
    delay: Seconds | None = None

    input: Any = None
    """A value with references in it (``$input.text``, ``$draft``); without it, what the steps before
    returned."""
    session: str | None = None
    """The conversation that what the step asks belongs to: a name, or a reference (``$input.user``)."""
    input_model: ShapeField | None = None
    """What its input has to look like: fields and their kinds, or a pydantic model."""
    output_model: ShapeField | None = None
    """The same of its output."""
    output_key: str | None = None
    """An output that is not a mapping becomes ``{output_key: output}``."""

    condition: ExpressionText | None = None
    """An expression; where it is false, the step is skipped, and reads as None."""
    depends_on: tuple[str, ...] | None = None
    for_each: str | tuple[Any, ...] | None = None
    """A reference to a list, or a list: the step runs once for each ``$item`` (at ``$index``)."""
    max_concurrency: int | None = Field(default=None, ge=1)
    """How many items of ``for_each`` are worked at the same time; None: up to 1,000."""
    until: ExpressionText | None = None
    """An expression; the step is repeated, fed with its last output, until it is true."""
    max_iterations: int | None = Field(default=None, ge=1, le=10_000)
    """How often it is repeated at most."""

    timeout_seconds: Seconds | None = None
    """The time limit of an attempt, from when its agent takes it up; None: the engine's
    ``default_timeout_seconds``."""
    queue_timeout_seconds: Seconds | None = None
    """How long an attempt may wait for a busy agent to take it up, from when it asks."""
    retry: RetryField = None
    """How often a failed attempt is made again: a number, or a `Retry` with its backoff."""
    on_error: OnError = "fail"
    """What a failure of the step means for the run: ``fail``, ``skip``, a ``fallback`` agent, or a
    ``default``."""
    compensate: Compensation | None = None
    """Who undoes the step when the run fails or is cancelled later."""

    also_known_as: ClassVar[Mapping[str, str]] = {
        "timeout": "timeout_seconds",
        "timeout_s": "timeout_seconds",
        "queue_timeout": "queue_timeout_seconds",
        "queue_timeout_s": "queue_timeout_seconds",
    }

    @field_validator("id")
    @classmethod
    def _check_id(cls, value: str) -> str:
        if not _ID.fullmatch(value):
            raise ValueError(
                f"{value!r} cannot be referred to as $id. Use letters, digits, '_' and '-'"
            )
        if value in RESERVED:
            raise ValueError(f"{value!r} has a meaning of its own in expressions; choose another")
        return value

    @field_validator("wait_for", mode="before")
    @classmethod
    def _read_wait_for(cls, value: Any) -> Any:
        return _read_wait(value)

    @field_validator("compensate", mode="before")
    @classmethod
    def _read_compensate(cls, value: Any) -> Any:
        return _read_compensation(value)

    @field_validator("depends_on", mode="before")
    @classmethod
    def _read_depends_on(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("agents", mode="before")
    @classmethod
    def _read_agents(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("workflow", mode="before")
    @classmethod
    def _read_workflow(cls, value: Any) -> Any:
        if value is None or isinstance(value, (str, WorkflowFields)):
            return value
        if isinstance(value, Mapping):
            return WorkflowFields.read_nested(value)
        if isinstance(value, (list, tuple)):
            actions = cast("list[Any] | tuple[Any, ...]", value)
            for action in actions:
                if not (isinstance(action, Mapping) and "role" in action):
                    raise ValueError(
                        f"{action!r} is not a step of a team. "
                        'Write [{"role": "researcher", "action": "gather_data"}, ...]'
                    )
            return tuple(dict(cast("Mapping[str, Any]", action)) for action in actions)
        raise ValueError(
            "it is a workflow's name, a workflow's definition, or (beside team) a list of "
            '{"role": ..., "action": ...}'
        )

    @property
    def has_input(self) -> bool:
        """Whether an input was given, be it None."""
        return "input" in self.model_fields_set

    @property
    def kind(self) -> str:
        """What the step does: one of agent, team, pattern, workflow, wait_for, delay."""
        for field in WORK_FIELDS:
            if getattr(self, field) is not None:
                return field
        return "agent"

    @property
    def target(self) -> Target | None:
        """The agent, team or pattern that the step asks, if it asks one."""
        return self.agent or self.team or self.pattern or None

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise ValueError(f"(step {self.id!r}) " + "; ".join(problems))
        return self

    def _problems(self) -> list[str]:
        problems: list[str] = []
        work = [f for f in WORK_FIELDS if getattr(self, f) is not None and f != "delay"]
        if self.team is not None and isinstance(self.workflow, tuple):
            work.remove("workflow")
        elif isinstance(self.workflow, tuple):
            problems.append('a list of roles and actions needs the team: "team": "name"')
        if not work and self.delay is None:
            problems.append(
                'has nothing to do: give it "agent": "name" '
                "(or team, pattern, workflow, wait_for, delay)"
            )
        if len(work) > 1:
            problems.append(f"has {' and '.join(work)}, and can do only one: make two steps of it")
        if (self.agents or self.root is not None) and self.pattern is None:
            problems.append('agents and root belong to a pattern: add "pattern": "parallel"')
        if self.for_each is not None:
            if self.until is not None or self.max_iterations is not None:
                problems.append(
                    "for_each and until/max_iterations do not go together: nest a workflow"
                )
            if not work or work[0] == "wait_for":
                problems.append("for_each needs an agent, team, pattern or workflow to run")
        elif self.max_concurrency is not None:
            problems.append('max_concurrency needs for_each: "$input.items"')
        if self.queue_timeout_seconds is not None and (not work or work[0] != "agent"):
            problems.append(
                "queue_timeout_seconds is how long work waits for a busy agent, and this step asks none"
            )
        if self.wait_for is not None:
            if self.retry is not None:
                problems.append("waiting for a signal cannot be retried: remove retry")
            if self.timeout_seconds is not None:
                problems.append(
                    'the time limit belongs into wait_for: {"signal": ..., "timeout_seconds": ...}'
                )
            if self.until is not None or self.max_iterations is not None:
                problems.append('use "when" in wait_for instead of until')
        if isinstance(self.on_error, Fallback) and self.wait_for is not None:
            problems.append('waiting has no fallback agent: use "default" in wait_for')
        return problems


class WorkflowFields(Definition):
    """The fields of a workflow: all that its graph, its checks, its plan and its drawing read.

    `WorkflowDefinition` is the one class made of it, with what those find out.
    """

    name: str = Field(min_length=1)
    """What it is called in lists, logs and the store."""
    description: str = ""
    """For people; nothing reads it."""
    version: str = ""
    """For people; what has changed is found by comparing definitions."""
    steps: tuple[StepDefinition, ...]
    """What it does, in the order of the list unless ``depends_on`` says otherwise."""
    input_model: ShapeField | None = None
    """What its input has to look like: fields and their kinds, or a pydantic model."""
    output: Any = None
    """A template for the result; without it the result is a mapping of step id to output."""
    timeout_seconds: Seconds | None = None
    """For the whole run, waiting included."""
    usage_limits: LimitsField = None
    """What a run may spend on models, over all that it asks."""
    on_failure: Literal["finish", "cancel"] = "finish"
    """What happens to steps that run while another one fails."""
    labels: Mapping[str, str] = Field(default_factory=dict[str, str])
    """What runs are listed by: ``{"tenant": "acme"}``."""

    also_known_as: ClassVar[Mapping[str, str]] = {
        "timeout": "timeout_seconds",
        "timeout_s": "timeout_seconds",
    }

    _complete: ClassVar[type[WorkflowFields]]

    def __init__(self, /, **data: Any) -> None:
        super().__init__(**data)
        self.bind_names()

    # As in `Definition`: what pydantic makes itself, it makes without this, so that nothing is bound.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @cached_property
    def bound(self) -> BoundNames:
        """What the names of agents in it were bound to when it was made; nothing, if it was loaded."""
        return BoundNames()

    def bind_names(self) -> None:
        """Bind the names of agents in it, and in the workflows that it was made with."""
        self.bound.bind(self._agents())

    def mark_loaded(self) -> None:
        """Take note that it, and all workflows in it, were read from a text."""
        self.bound.loaded = True
        for step in self.steps:
            if isinstance(step.workflow, WorkflowFields):
                step.workflow.mark_loaded()

    @property
    def from_text(self) -> bool:
        """Whether it, or a workflow in it, was read from a text."""
        return self.bound.loaded or any(
            isinstance(step.workflow, WorkflowFields) and step.workflow.from_text
            for step in self.steps
        )

    def open_names(self) -> Iterator[str]:
        """Yield the names of agents in it that are not bound."""
        for target in self._agents():
            for name in open_names(target):
                if self.bound.get(name) is None:
                    yield name

    def _agents(self) -> Iterator[Any]:
        """Yield what is asked, names of teams, patterns and workflows left out."""
        for step in self.steps:
            yield from (step.agent, *step.agents, step.root)
            yield from (it for it in (step.pattern, step.workflow) if not isinstance(it, str))
            if isinstance(step.on_error, Fallback):
                yield step.on_error.fallback
            if step.compensate is not None:
                yield step.compensate.agent

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if WorkflowFields in cls.__bases__:
            WorkflowFields._complete = cls

    @classmethod
    def read_nested(cls, data: Any) -> WorkflowFields:
        """Return *data* as the complete class, for a workflow inside a step."""
        return cls._complete.model_validate(data)

    @property
    def has_output(self) -> bool:
        """Whether the result has a template of its own."""
        return "output" in self.model_fields_set

    def step(self, step_id: str) -> StepDefinition:
        """Return the step called *step_id*; raises KeyError."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as plain data, without the fields that were not given.

        Agents, teams, patterns and functions that were given themselves are written as their names.
        """
        return plain_form(self)

    def to_json(self, indent: int | None = 2) -> str:
        """Return the definition as JSON."""
        return dump_json(self, indent)

    def to_yaml(self) -> str:
        """Return the definition as YAML. Needs the extra ``yaml``."""
        return dump_yaml(self)
