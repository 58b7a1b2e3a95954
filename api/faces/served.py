"""What is served: a target with a name and schemas, which every protocol asks in the same way."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any, Final

from agenticaiframework.actors import Agent, WrongUse, as_data, shown
from agenticaiframework.patterns import AgentTeam, Askable, OrchestrationPattern
from agenticaiframework.patterns.engine import (
    CodeWorkflow,
    OrchestrationEngine,
    WorkflowDefinition,
)

from .asking import ask_agent, ask_events, ask_plainly
from .forms import (
    FieldsInput,
    InputForm,
    OutputForm,
    Schema,
    TypedInput,
    WholeInput,
    object_schema,
    read_output_form,
    sendable,
)
from .items import Asked, Item
from .runs import Runs

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_KINDS: Final[Mapping[str, Schema]] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "list": {"type": "array"},
    "mapping": {"type": "object"},
}


class Served:
    """An agent, a team, a pattern or a workflow as other programs see it. Does not change.

    Made by `serve` and `serve_workflow`.
    """

    def __init__(
        self,
        target: Askable | Runs,
        name: str,
        description: str,
        form: InputForm,
        output: OutputForm | None,
    ) -> None:
        self._target = target
        self.name = name
        """By which it is called; letters, digits, ``_``, ``.`` and ``-``."""
        self.description = description
        self.form = form
        self._output = output

    def __repr__(self) -> str:
        return f"<Served {self.name!r}>"

    @property
    def input_schema(self) -> Schema:
        """The JSON schema of its arguments."""
        return self.form.schema

    @property
    def output_schema(self) -> Schema | None:
        """The JSON schema of its answers as objects; None if nothing is known."""
        return None if self._output is None else self._output.schema

    def read_answer(self, value: Any) -> Any:
        """Return an answer as data; raises `CallFailed` if it is not what was promised."""
        return sendable(as_data(value) if self._output is None else self._output.read(value))

    @property
    def runs(self) -> Runs | None:
        """The runs behind its calls, if it is a workflow."""
        return self._target if isinstance(self._target, Runs) else None

    @property
    def durable(self) -> bool:
        """Whether its calls outlive who made them."""
        return self.runs is not None and self.runs.durable

    @property
    def speaks(self) -> bool:
        """Whether the text that it tells while it works is that of its answer."""
        return isinstance(self._target, Agent)

    def stream(self, asked: Asked) -> AsyncGenerator[Item]:
        """Return what a call tells, the answer last; raises what went wrong."""
        target = self._target
        if isinstance(target, Runs):
            return target.ask(asked)
        if isinstance(target, Agent):
            return ask_agent(target, asked)
        context = asked.context()
        if isinstance(target, AgentTeam):
            return ask_events(
                target.stream_task(
                    asked.payload, timeout=asked.timeout_s, session=asked.session, context=context
                )
            )
        if isinstance(target, OrchestrationPattern):
            return ask_events(
                target.stream(asked.payload, timeout=asked.timeout_s, context=context)
            )
        return ask_plainly(target, asked)


def serve(
    target: Askable,
    *,
    name: str | None = None,
    description: str | None = None,
    input: Any = None,
    output: Any = None,
) -> Served:
    """Return an agent, a team or a pattern as something to be served, with what others see of it.

    *name* and *description* are the target's own if they are not given. *input* and *output* are types that
    pydantic knows: what is asked is validated by the first, and handed on as a value of it; the second says
    what the answers are. Without *input* it takes one argument, ``input``: a text for an agent with a model,
    else anything. Raises `WrongUse`.
    """
    if isinstance(target, OrchestrationEngine):
        raise WrongUse(
            "serve(engine) does not say which workflow: serve_workflow(engine, 'article')"
        )
    if isinstance(target, str) or not isinstance(target, Askable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise WrongUse(
            f"serve({shown(target)}): an agent, a team or a pattern can be served; a function as "
            "serve(Agent('name', handler=function)), a workflow as serve_workflow(engine, 'name')"
        )
    spec = target.model_spec if isinstance(target, Agent) else None
    form = WholeInput(text=spec is not None) if input is None else TypedInput(input)
    known = output if output is not None or spec is None else _answers_of(spec)
    said = description if description is not None else getattr(target, "description", "")
    return Served(
        target,
        _name_of(target.name, name),
        said or f"Asks {target.name}.",
        form,
        read_output_form(known),
    )


def serve_workflow(
    engine: OrchestrationEngine,
    workflow: str,
    *,
    name: str | None = None,
    description: str | None = None,
    input: Any = None,
    output: Any = None,
    durable: bool = True,
    answers: bool = False,
) -> Served:
    """Return a registered workflow as something to be served: each call is a run of its own.

    *engine* runs it, and *workflow* is its name there. *name* is what others call it by, *description* what it
    is for: its own, and the first paragraph of its function's docstring, if they are not given. A *durable* run is stored, goes on when its caller leaves, and is found again by its id or by the key that
    the caller gave; one that is not is cancelled then. The schemas are those of the workflow's ``input_model``,
    of what its steps read of the input, or of the types of its function, unless *input* and *output* are
    given. With *answers* its callers may say what their own runs wait for: signals, and the answers to
    questions, approvals included; otherwise they only see that it waits. Raises `WrongUse`, and `UnknownName` for a workflow that is not registered.
    """
    if not isinstance(engine, OrchestrationEngine):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise WrongUse(
            f"serve_workflow({shown(engine)}, ...) needs an engine: serve_workflow(engine, 'article')"
        )
    if not isinstance(workflow, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise WrongUse(
            f"serve_workflow(engine, {shown(workflow)}) needs the name of a registered workflow: "
            "engine.register_workflow('article', ...) and serve_workflow(engine, 'article')"
        )
    definition = engine.check(workflow)
    steps = None
    if isinstance(definition, CodeWorkflow):
        form: InputForm = _code_input(definition)
        known = definition.result_type if output is None else output
        about = (definition.__doc__ or "").strip().partition("\n\n")[0]
    else:
        form, known, about = _declared_input(definition), output, ""
        steps = len(definition.steps)
    if input is not None:
        form = TypedInput(input)
    return Served(
        Runs(engine, workflow, durable, steps, answers),
        _name_of(workflow, name),
        description or about or f"Runs the workflow {workflow}.",
        form,
        read_output_form(known),
    )


def read_served(targets: Iterable[Any]) -> dict[str, Served]:
    """Return targets by the names by which they are served. Raises `WrongUse`."""
    found: dict[str, Served] = {}
    for target in targets:
        one = target if isinstance(target, Served) else serve(target)
        if one.name in found:
            raise WrongUse(
                f"two targets are called {one.name!r}: give one another name, "
                "serve(target, name='other')"
            )
        found[one.name] = one
    if not found:
        raise WrongUse("nothing is served: give an agent, a team, a pattern or a workflow")
    return found


def _name_of(own: str, given: str | None) -> str:
    if given is None:
        return re.sub(r"[^A-Za-z0-9_.-]", "_", own)[:64] or "_"
    if not isinstance(given, str) or _NAME.fullmatch(given) is None:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise WrongUse(
            f"name={given!r}: 1 to 64 letters, digits, '_', '.' and '-', as protocols allow them"
        )
    return given


def _answers_of(spec: Any) -> Any:
    kind = spec.output_type
    return kind if isinstance(kind, type) else (None if spec.typed else str)


def _code_input(code: CodeWorkflow[Any, Any]) -> InputForm:
    kind = code.input_type
    if kind is None:
        return NoInput()
    return WholeInput(text=False) if kind is Any else TypedInput(kind)


def _declared_input(definition: WorkflowDefinition) -> InputForm:
    shape = definition.input_model
    if shape is not None:
        if shape.model is not None:
            return FieldsInput(shape.model.model_json_schema())
        fields = {name: _KINDS.get(field.kind, {}) for name, field in shape.fields.items()}
        needed = [name for name, field in shape.fields.items() if field.required]
        return FieldsInput(object_schema(fields, needed, more=True))
    read = [str(reference.path[0]) for reference in definition.plan.needed]
    if read:
        names = list(dict.fromkeys(read))
        return FieldsInput(object_schema({name: {} for name in names}, names, more=True))
    return WholeInput(text=False)


class NoInput:
    """Nothing is taken."""

    schema: Schema = object_schema({}, [], more=False)

    def read(self, arguments: Mapping[str, Any]) -> Any:
        """Return None; raises `CallFailed` for any argument."""
        return FieldsInput(self.schema).read(arguments) or None

    def read_text(self, text: str) -> Any:
        """Return None, whatever is said."""
        return None


__all__ = ["NoInput", "Served", "read_served", "serve", "serve_workflow"]
