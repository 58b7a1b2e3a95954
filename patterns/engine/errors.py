"""What goes wrong with workflows, each error with the form that works."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agenticaiframework.actors import AgenticError, near, text_of

from ..vocabulary.causes import UnretriableError


class EngineError(AgenticError):
    """Base of what the engine raises."""


class WorkflowFailed(EngineError):
    """A workflow stopped because a step failed for good; the step's error is the cause.

    ``workflow``, ``workflow_id``, ``step`` and ``agent`` say where, ``attempts`` how often it was
    tried. ``completed`` names the steps that had finished; a stored run continues after them with
    ``resume_workflow``. If the step's fallback has failed too, the cause is its error, and
    ``instead_of`` what the error said that it stood in for. ``expected`` if the step failed with an
    expected error: an agent whose handler lets this pass is well.
    """

    def __init__(
        self,
        workflow: str,
        workflow_id: str,
        step: str,
        agent: str,
        cause: BaseException | str,
        *,
        attempts: int = 1,
        completed: Sequence[str] = (),
        stored: bool = False,
        instead_of: str | None = None,
    ) -> None:
        tried = f", {attempts} attempts" if attempts > 1 else ""
        who = f" (agent {agent!r}{tried})" if agent else ""
        where = f" at step {step!r}{who}" if step else ""
        resume = (
            f" Once that is mended: await engine.resume_workflow({workflow_id!r})."
            if stored
            else ""
        )
        reason = with_first(describe(cause), instead_of)
        super().__init__(f"Workflow {workflow!r} failed{where}: {reason}.{resume}")
        self.workflow = workflow
        self.workflow_id = workflow_id
        self.step = step
        self.agent = agent
        self.attempts = attempts
        self.completed = tuple(completed)
        self.reason = reason
        self.instead_of = instead_of
        if isinstance(cause, BaseException):
            self.__cause__ = cause


class WorkflowTimedOut(WorkflowFailed, TimeoutError):
    """A workflow stopped because a step, or the whole, took longer than it was given."""


class WorkflowCancelled(EngineError):
    """The workflow that was waited for has been cancelled; ``reason`` says why."""

    def __init__(self, workflow: str, workflow_id: str, reason: str) -> None:
        super().__init__(f"Workflow {workflow!r} ({workflow_id}) was cancelled: {reason}")
        self.workflow = workflow
        self.workflow_id = workflow_id
        self.reason = reason


class WorkflowLost(EngineError):
    """Another engine has taken the workflow over, or the engine stopped under it.

    A stored run goes on elsewhere: ask that engine, or call ``recover``.
    """

    def __init__(self, workflow: str, workflow_id: str, why: str) -> None:
        super().__init__(f"Workflow {workflow!r} ({workflow_id}) is no longer run here: {why}")
        self.workflow = workflow
        self.workflow_id = workflow_id
        self.why = why


class UnknownWorkflow(EngineError, LookupError):
    """No workflow with this id is known to the engine or its store."""

    def __init__(self, workflow_id: str, known: Iterable[str] = ()) -> None:
        # One that is known and asked for all the same was never stored: no hint for it.
        ids = [known_id for known_id in known if known_id != workflow_id]
        hint = f" {near(str(workflow_id), ids)}" if ids else ""
        super().__init__(
            f"There is no workflow {workflow_id!r}.{hint} "
            "`await engine.list_workflows()` shows those there are."
        )
        self.workflow_id = workflow_id


class WorkflowExists(EngineError):
    """A workflow with this id has been started before."""

    def __init__(self, workflow_id: str) -> None:
        super().__init__(
            f"There is a workflow {workflow_id!r} already. Leave workflow_id out to get a new one, "
            f"or wait for that one: await engine.wait({workflow_id!r})."
        )
        self.workflow_id = workflow_id


class UnknownName(UnretriableError, LookupError):
    """A name in a workflow or a routing rule stands for nothing that the engine can find."""

    def __init__(
        self, kind: str, name: str, known: Iterable[str], where: str = "", hint: str = ""
    ) -> None:
        at = f"{where}: " if where else ""
        call = {
            "agent": f"engine.register_agent({name!r}, agent)",
            "team": f"engine.register_team({name!r}, team)",
            "pattern": f"engine.register_pattern({name!r}, pattern)",
            "workflow": f"engine.register_workflow({name!r}, definition)",
        }.get(kind, "")
        do = f" Register it: {call}." if call else ""
        more = f" {hint}." if hint else ""
        super().__init__(f"{at}there is no {kind} {name!r}. {near(name, known)}{do}{more}")
        self.kind = kind
        self.name = name


class InputMismatch(EngineError, ValueError):
    """The input does not have what the workflow reads; nothing has run."""

    def __init__(self, workflow: str, problem: str) -> None:
        super().__init__(f"Workflow {workflow!r} cannot start with this input: {problem}")
        self.workflow = workflow
        self.problem = problem


class OutputMismatch(EngineError, ValueError):
    """A step returned something else than its ``output_model`` declares."""

    def __init__(self, step: str, problem: str) -> None:
        super().__init__(f"The output of step {step!r} is not what was declared: {problem}")
        self.step = step
        self.problem = problem


class NoRouteMatches(EngineError):
    """No routing rule holds for the input; ``rules`` are their conditions, in order."""

    def __init__(self, rules: Sequence[str]) -> None:
        listed = "".join(f"\n  {n}. {rule}" for n, rule in enumerate(rules, 1))
        if rules:
            said = f"No routing rule matches the input. The rules, in order:{listed}"
        else:
            said = "There are no routing rules, and neither a workflow nor a pattern was given."
        super().__init__(
            f"{said}\nAdd one that always matches: "
            '{"condition": "default", "pattern": "sequential", "agents": [...]}'
        )
        self.rules = tuple(rules)


class TooManyWorkflows(EngineError):
    """As many workflows run and wait as the engine takes."""

    def __init__(self, running: int, queued: int) -> None:
        super().__init__(
            f"{running} workflows run and {queued} wait already. Try again later, or raise "
            "EngineConfig(max_concurrent_workflows=..., max_queued_workflows=...)."
        )
        self.running = running
        self.queued = queued


class DefinitionChanged(EngineError):
    """The run was started with another definition than the one that is known by its name now."""

    def __init__(self, workflow: str, workflow_id: str, differences: Sequence[str]) -> None:
        listed = "".join(f"\n  {line}" for line in differences)
        super().__init__(
            f"The definition of workflow {workflow!r} has changed since {workflow_id} was started:"
            f"{listed}\nSay how to go on: resume_workflow(id, definition='old') as it was started, "
            "or definition='new' with finished steps kept by their ids."
        )
        self.workflow = workflow
        self.workflow_id = workflow_id
        self.differences = tuple(differences)


class NotStored(EngineError):
    """The run was not stored, so what needs its journal cannot be done."""

    def __init__(self, workflow_id: str, what: str) -> None:
        super().__init__(
            f"{what} needs the journal of {workflow_id!r}, which was started without "
            "persist_state=True."
        )
        self.workflow_id = workflow_id


class EngineStopped(EngineError):
    """The engine was stopped, or its actor system has ended."""

    def __init__(self, engine: str) -> None:
        super().__init__(
            f"Engine {engine!r} has been stopped. Make another one, or stop it later: "
            "`async with OrchestrationEngine() as engine:`."
        )


def describe(error: BaseException | str) -> str:
    """Return an error as one line for messages and journals: its type and what it says."""
    if isinstance(error, str):
        return error
    text = text_of(error).strip()
    first = text.split("\n", 1)[0].rstrip(".")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def with_first(reason: str, first: str | None) -> str:
    """Return why a fallback has failed, with what it stood in for."""
    return reason if first is None else f"{reason}, in the fallback after {first}"
