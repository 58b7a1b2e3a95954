"""What an engine knows by name: agents, teams, patterns, supervisors, workflows, and rules of routing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast, overload

from ..definition.errors import DefinitionError
from ..definition.fields import read_target
from ..vocabulary.target import Askable
from .code.workflow import AnyWorkflow, CodeWorkflow
from .definition.routing import Routing
from .definition.workflow import WorkflowDefinition, make_workflow
from .host.cores import Cores

Input = TypeVar("Input")
Result = TypeVar("Result")

Workflow = WorkflowDefinition | CodeWorkflow[Any, Any] | Mapping[str, Any] | str
"""What may be given as a workflow: a definition, one as a mapping, code, or a registered one's name."""


class Registering:
    """What an engine does with names. They are kept in its setup, over all its actors."""

    def __init__(self, cores: Cores) -> None:
        self._cores = cores
        self._setup = cores.setup

    def register_agent(self, name: str, agent: Any, *, max_concurrent: int | None = None) -> None:
        """Let *name* stand for *agent* (an agent, or a function of the payload) in workflows.

        A name that is registered already gets the new meaning. *max_concurrent* is how many steps
        may ask it at the same time, over all workflows.
        """
        target = _checked(name, agent, "agent")
        if max_concurrent is not None:
            if max_concurrent < 1:
                raise ValueError(
                    f"max_concurrent={max_concurrent}: at least 1, or None for no limit"
                )
            self._setup.limit(name, target, max_concurrent)
            self._cores.limits_changed()
        self._setup.directory.enter("agent", name, self._setup.resolve(target))

    def register_team(self, name: str, team: Any) -> None:
        """Let *name* stand for *team* in workflows."""
        self._setup.directory.enter("team", name, _checked(name, team, "team"))

    def register_pattern(self, name: str, pattern: Any) -> None:
        """Let *name* stand for *pattern* in workflows, routing rules and `execute`.

        The pattern looks its own agents up in this engine first from now on.
        """
        checked = _checked(name, pattern, "pattern")
        if getattr(checked, "resolver", self) is None:
            checked.resolver = self._setup.names
        self._setup.directory.enter("pattern", name, self._setup.resolve(checked))

    def register_supervisor(self, name: str, supervisor: Any) -> None:
        """Let steps ask the children of *supervisor* by their names under it.

        An agent that crashes in a step is restarted by its supervisor.
        """
        checked = _checked(name, supervisor, "supervisor")
        self._setup.directory.enter("supervisor", name, checked)

    @overload
    def register_workflow(
        self, name: str | CodeWorkflow[Input, Result], workflow: CodeWorkflow[Input, Result]
    ) -> CodeWorkflow[Input, Result]: ...
    @overload
    def register_workflow(
        self, name: CodeWorkflow[Input, Result], workflow: None = None
    ) -> CodeWorkflow[Input, Result]: ...
    @overload
    def register_workflow(
        self, name: str, workflow: WorkflowDefinition | Mapping[str, Any] | str
    ) -> WorkflowDefinition: ...
    @overload
    def register_workflow(
        self, name: WorkflowDefinition, workflow: None = None
    ) -> WorkflowDefinition: ...
    def register_workflow(
        self,
        name: str | CodeWorkflow[Any, Any] | WorkflowDefinition,
        workflow: Workflow | None = None,
    ) -> WorkflowDefinition | CodeWorkflow[Any, Any]:
        """Let *name* stand for *workflow*, and return its checked definition.

        It is what stored runs of that name are compared with when they go on. A definition, or a
        workflow that is code, may be given alone, under its own name.
        """
        if isinstance(name, (CodeWorkflow, WorkflowDefinition)):
            name, workflow = name.name, name if workflow is None else workflow
        if isinstance(workflow, str):
            workflow = self._setup.directory.workflow(workflow)
        definition = workflow if isinstance(workflow, CodeWorkflow) else make_workflow(workflow)
        self._setup.directory.enter("workflow", name, definition)
        return definition

    def configure_routing(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Let `execute` without a workflow run what the first rule says whose condition holds.

        A rule has a ``condition`` over ``input`` (``"default"`` always holds) and what a workflow's
        step has: a ``pattern`` kind with ``agents`` (and ``root``), a registered pattern, an
        ``agent``, a ``team``, a ``workflow``. Raises `DefinitionError`.
        """
        self._setup.routing = Routing(rules)

    def _registered(self, workflow: Workflow) -> str:
        """Register a workflow that is known here in all its names; return its own."""
        definition = self.check(workflow)
        self._setup.directory.enter("workflow", definition.name, definition)
        return definition.name

    def workflow(self, name: str) -> Askable:
        """Return a registered workflow as something that can be asked, wherever an agent can."""
        return self._cores.nest(self._setup.directory.workflow(name).plan)

    def check(self, workflow: Workflow) -> AnyWorkflow:
        """Return *workflow* as a definition whose names are all known here.

        Raises `DefinitionError` and `UnknownName`; nothing runs. What it promises to run at once and
        its agents cannot keep is logged, and returned by `unkept`.
        """
        definition = self._setup.definition_of(workflow)
        plan = definition.plan
        told_before = plan.told
        names = self._setup.names_of(plan)
        bound = self._setup.bind(plan, names)
        if told_before:
            self._setup.tell_unkept(plan, bound, names)
        return definition

    def unkept(self, workflow: Workflow) -> list[str]:
        """Return what *workflow* promises to run at once and its agents cannot keep, a sentence each.

        Such work is not refused; what exceeds its agent's concurrency waits for its turn.
        """
        plan = self._setup.definition_of(workflow).plan
        names = self._setup.names_of(plan)
        return self._setup.unkept(plan, self._setup.bind(plan, names), names)


def _checked(name: str, value: Any, kind: str) -> Any:
    a = "an" if kind == "agent" else "a"
    if not isinstance(name, str) or not name.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"the name of {a} {kind} is a non-empty text, not {name!r}")
    wrong = f"register_{kind}({name!r}, ...) needs the {kind} itself, not {value!r}"
    if value is None or isinstance(value, (str, type)):
        raise TypeError(wrong)
    if kind == "supervisor":
        if not hasattr(value, "children"):
            raise TypeError(wrong)
        return value
    if isinstance(value, (WorkflowDefinition, CodeWorkflow)):
        return cast("AnyWorkflow", value)
    try:
        return read_target(value)
    except DefinitionError:
        raise
    except ValueError as error:
        raise TypeError(f"{wrong}: {error}") from None
