"""What goes wrong with workflows, each error with the form that works."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from agenticaiframework.actors import AgenticError, AmbiguousAgent, line_of, near_names

from ..vocabulary.causes import UnretriableError


class EngineError(AgenticError):
    """Base of what the engine raises."""


class WorkflowFailed(EngineError):
    """A workflow stopped because a step failed for good; the step's error is the cause.

    ``workflow``, ``workflow_id``, ``step`` and ``agent`` say where, ``attempts`` how often it was
    tried. ``completed`` names the steps that had finished; a stored run continues after them with
    ``resume_workflow``. If the step's fallback has failed too, the cause is its error, and
    ``instead_of`` what the error said that it stood in for. ``expected`` if the step failed with an
    expected error: an agent whose handler lets this pass is well. ``undo_failed`` has the errors of
    those compensations that have failed, by the step that was to be undone.
    """

    undo_failed: Mapping[str, str] = MappingProxyType({})

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

    def tell_undo_failed(self, errors: Mapping[str, str]) -> None:
        """Tell which compensations have failed beside it, too."""
        if errors:
            self.undo_failed = dict(errors)
            for step, error in errors.items():
                self.add_note(f"Undoing step {step!r} failed: {error}")


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
        hint = f" {near_names(str(workflow_id), ids)}" if ids else ""
        super().__init__(
            f"There is no workflow {workflow_id!r}.{hint} "
            "`await engine.list_workflows()` shows those there are."
        )
        self.workflow_id = workflow_id


class UnknownSchedule(EngineError, LookupError):
    """There is no schedule of this name in the store."""

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        super().__init__(
            f"There is no schedule {name!r}. {near_names(name, known)} "
            "`await engine.schedules()` shows those there are."
        )
        self.name = name


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
        super().__init__(f"{at}there is no {kind} {name!r}. {near_names(name, known)}{do}{more}")
        self.without_hints = f"{at}there is no {kind} {name!r}.{do}"
        """The same whichever other names there are: they come and go."""
        self.kind = kind
        self.name = name


class InputMismatch(EngineError, ValueError):
    """The input does not have what the workflow reads; nothing has run."""

    def __init__(self, workflow: str, problem: str) -> None:
        super().__init__(f"Workflow {workflow!r} cannot start with this input: {problem}")
        self.workflow = workflow
        self.problem = problem


class OutputMismatch(EngineError, ValueError):
    """A step returned something else than its ``output_model`` declares, or code than it is annotated with.

    ``step`` is the step, or the workflow that is code.
    """

    def __init__(self, step: str, problem: str, what: str = "output of step") -> None:
        super().__init__(f"The {what} {step!r} is not what was declared: {problem}")
        self.step = step
        self.problem = problem


class InnerStepsDiffer(UnretriableError, EngineError):
    """A handler makes another inner step than an attempt before made in its place.

    ``recorded`` and ``called`` are the two names, ``number`` is the place among the handler's calls.
    """

    def __init__(self, step: str, number: int, recorded: str, called: str) -> None:
        super().__init__(
            f"The handler of step {step!r} calls its inner steps in another order than it did: "
            f"call {number} was {recorded!r}, and is {called!r} now. What a handler does between "
            "two inner steps has to follow from its input and from what they returned. To begin "
            f"anew: await engine.retry_from(workflow_id, {step!r})."
        )
        self.step = step
        self.number = number
        self.recorded = recorded
        self.called = called


class InnerStepRefused(EngineError):
    """The attempt that an inner step belongs to has ended: what it did is not recorded."""

    def __init__(self, step: str, name: str) -> None:
        super().__init__(
            f"The inner step {name!r} is not recorded: its attempt at step {step!r} has ended "
            "(it was cancelled, took too long, or has returned already)."
        )
        self.step = step
        self.name = name


class QuestionRefused(EngineError):
    """A compensation asked a question: what undoes a step does not wait for answers."""

    def __init__(self, step: str, name: str) -> None:
        super().__init__(
            f"What undoes step {step!r} asked {name!r}, and a compensation does not wait for answers. "
            "Ask in the step itself, and hand the answer on in its output."
        )
        self.step = step
        self.name = name


class AnswerPending(InnerStepRefused):
    """A handler asked a question, and its attempt ends until there is an answer: let this pass.

    ``name`` is that of the question. The agent is well: its handler is called again later.
    """

    expected = True

    def __init__(self, step: str, name: str) -> None:
        EngineError.__init__(
            self,
            f"The question {name!r} of step {step!r} has no answer yet: this attempt has ended, and the "
            "handler is called again when there is one.",
        )
        self.step = step
        self.name = name


class UnknownQuestion(EngineError, LookupError):
    """A run has not asked what an answer was given to."""

    def __init__(
        self, workflow_id: str, question: str, known: Sequence[str], *, several: bool = False
    ) -> None:
        if several:
            said = f"has several open questions that {question!r} may mean: {', '.join(known)}."
        else:
            there = near_names(question, known) if known else "Nothing in it waits for an answer."
            said = f"has no open question {question!r}. {there}"
        super().__init__(f"Run {workflow_id!r} {said}")
        self.workflow_id = workflow_id
        self.question = question
        self.known = tuple(known)


class AlreadyAnswered(EngineError, ValueError):
    """A question has an answer, which counts; this one does not."""

    def __init__(self, workflow_id: str, question: str) -> None:
        super().__init__(
            f"The question {question!r} of run {workflow_id!r} has been answered already: the first answer "
            "counts."
        )
        self.workflow_id = workflow_id
        self.question = question


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


class RunUnreadable(EngineError):
    """What is stored of a run cannot be understood: damaged, or written by a newer version."""

    def __init__(self, workflow_id: str, detail: str) -> None:
        super().__init__(
            f"the stored run {workflow_id!r} cannot be understood: {detail}. It may be damaged, or "
            "written by a newer version of this library; it can be cancelled, and other runs go on."
        )
        self.workflow_id = workflow_id
        self.detail = detail


class WorkflowEnded(EngineError, ValueError):
    """The run has ended, so nothing in it can take what was sent; ``state`` says how it ended."""

    def __init__(self, workflow_id: str, state: str) -> None:
        super().__init__(f"workflow {workflow_id!r} has ended ({state}); nothing can wait")
        self.workflow_id = workflow_id
        self.state = state


class TooManySignals(EngineError):
    """As many signals wait in the run as it keeps; this one was not kept."""

    def __init__(self, workflow_id: str, limit: int) -> None:
        super().__init__(
            f"{limit:,} signals wait in workflow {workflow_id!r}, and no step has taken them. This one "
            "was not kept: send it again when some of them have been taken."
        )
        self.workflow_id = workflow_id
        self.limit = limit


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
            f"Engine {engine!r} has been stopped. `async with engine:` starts it again; "
            "what is asked of it belongs inside."
        )


class EngineDraining(EngineStopped):
    """The engine is being drained: it takes no new work, and gives what it has to other engines."""

    expected = True

    def __init__(self, engine: str) -> None:
        EngineError.__init__(
            self,
            f"Engine {engine!r} is being drained and takes no new work. Ask another process, or this "
            "one's successor; a service says 503 with Retry-After.",
        )
        self.engine = engine


def describe(error: BaseException | str) -> str:
    """Return an error as one line for messages and journals: its type and what it says."""
    if isinstance(error, str):
        return storable(error)
    first = line_of(error).rstrip(".")
    return storable(f"{type(error).__name__}: {first}" if first else type(error).__name__)


MAX_TEXT: Final = 4_000
"""Characters that journals and messages keep of an error's text."""


def storable(text: str) -> str:
    """Return *text* as every store can keep it: bounded, and without what is not Unicode."""
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}... ({len(text):,} characters)"
    if text.isascii() and "\0" not in text:
        return text
    return text.encode(errors="replace").decode().replace("\0", "?")


def describe_blocked(error: BaseException) -> str:
    """Return in one line why a run is blocked: the same text for as long as it is the same cause."""
    if isinstance(error, DefinitionChanged):
        listed = "; ".join(error.differences)
        return (
            f"the definition of {error.workflow!r} has changed: {listed}. "
            "Resume it with definition='old' or 'new'"
        )
    if isinstance(error, (UnknownName, AmbiguousAgent)):
        return storable(f"{type(error).__name__}: {error.without_hints.rstrip('.')}")
    return describe(error)


def with_first(reason: str, first: str | None) -> str:
    """Return why a fallback has failed, with what it stood in for."""
    return reason if first is None else f"{reason}, in the fallback after {first}"
