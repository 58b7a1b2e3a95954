"""A workflow that is an ``async`` function, and the decorator that makes one."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, Final, Generic, TypeAlias, TypeVar, get_type_hints, overload

from pydantic import TypeAdapter, ValidationError

from agenticaiframework.actors import is_coroutine_function, read_usage_limits

from ...definition.errors import DefinitionError
from ..definition.workflow import WorkflowDefinition
from ..errors import InputMismatch, OutputMismatch
from .forms import stored_form
from .plan import CodePlan
from .run import WorkflowRun

Input = TypeVar("Input")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)

EXAMPLE: Final = """\
@workflow(name="refund")
async def refund(run: WorkflowRun, order: Order) -> Receipt:
    risk = await run.ask("assessor", order, retry=3)
    ..."""

_MISSING: Final[Any] = inspect.Parameter.empty


class CodeWorkflow(Generic[Input, Result_co]):
    """An ``async`` function of a `WorkflowRun` and an input, wherever a workflow can stand.

    Made by `workflow`. Its input and its result are of the types that the function is annotated with, made
    from the form in which they are stored. A stored run goes on in an engine with which it is registered,
    or to which it was given.
    """

    def __init__(
        self,
        function: Callable[..., Awaitable[Result_co]],
        name: str,
        options: Mapping[str, Any],
        names: Mapping[str, Any],
    ) -> None:
        self.function = function
        self.name = name
        self.__doc__ = function.__doc__
        self.__wrapped__ = function
        self._options = options
        self._names = names
        parameters = list(inspect.signature(function).parameters.values())
        self._takes_input = len(parameters) > 1
        required = [p for p in parameters[2:] if p.default is _MISSING and p.kind not in (2, 4)]
        if not parameters or required:
            raise DefinitionError(
                f"The workflow {name!r}", ["takes a run, and at most one input"], EXAMPLE
            )
        self._input_name = parameters[1].name if self._takes_input else ""

    def __repr__(self) -> str:
        return f"<CodeWorkflow {self.name!r}>"

    @cached_property
    def plan(self) -> CodePlan:
        """What the engine runs."""
        return CodePlan(self.name, self._options, self)

    def to_dict(self) -> dict[str, Any]:
        """Return what is stored of it: its name and its options, not its code."""
        return {"kind": "code", "name": self.name, **self._options}

    # -- types -----------------------------------------------------------------------------------

    @cached_property
    def _hints(self) -> Mapping[str, Any]:
        try:
            return get_type_hints(self.function, localns=dict(self._names), include_extras=True)
        except NameError as error:
            raise DefinitionError(
                f"The workflow {self.name!r}",
                [f"is annotated with an unknown name: {error}"],
                EXAMPLE,
            ) from None

    @property
    def input_type(self) -> Any:
        """The type that the function's input is annotated with; None if it takes none."""
        return self._hints.get(self._input_name, Any) if self._takes_input else None

    @property
    def result_type(self) -> Any:
        """The type that the function is annotated to return; Any if it does not say."""
        return self._hints.get("return", Any)

    @cached_property
    def _input(self) -> TypeAdapter[Any] | None:
        return _adapter(self._hints.get(self._input_name, Any))

    @cached_property
    def _result(self) -> TypeAdapter[Any] | None:
        return _adapter(self._hints.get("return", Any))

    def take_input(self, given: Any) -> Any:
        """Return the stored form of *given*, once it is what the function takes; raises `InputMismatch`."""
        adapter = self._input
        if not self._takes_input:
            if given is not None:
                raise InputMismatch(self.name, "it takes none")
            return None
        try:
            if adapter is None:
                return stored_form(given)
            return _dumped(adapter, adapter.validate_python(given))
        except ValidationError as error:
            raise InputMismatch(self.name, _problem(error)) from None
        except (ValueError, TypeError) as error:
            raise InputMismatch(self.name, str(error)) from None

    def call(self, run: WorkflowRun, stored: Any) -> Awaitable[Any]:
        """Return the function's coroutine, with the input made from its stored form."""
        if not self._takes_input:
            return self.function(run)
        adapter = self._input
        given = stored_form(stored) if adapter is None else adapter.validate_python(stored)
        return self.function(run, given)

    def store_result(self, value: Any) -> Any:
        """Return the stored form of what the function returned; raises `OutputMismatch`."""
        adapter = self._result
        try:
            if adapter is None:
                return stored_form(value)
            return _dumped(adapter, adapter.validate_python(value))
        except ValidationError as error:
            raise OutputMismatch(self.name, _problem(error), "result of workflow") from None
        except (ValueError, TypeError) as error:
            raise OutputMismatch(self.name, str(error), "result of workflow") from None

    def make_result(self, stored: Any) -> Any:
        """Return the result, of the annotated type, from its stored form."""
        adapter = self._result
        return stored if adapter is None else adapter.validate_python(stored)


def _adapter(hint: Any) -> TypeAdapter[Any] | None:
    """Return what reads and writes values of the type *hint*; None: as they come."""
    return None if hint is Any or hint is object else TypeAdapter(hint)


def _dumped(adapter: TypeAdapter[Any], value: Any) -> Any:
    return stored_form(adapter.dump_python(value, mode="json", by_alias=True))


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where!r}: {first['msg']}" if where else first["msg"]


AnyWorkflow: TypeAlias = WorkflowDefinition | CodeWorkflow[Any, Any]
"""A workflow, declared or code."""


class _Maker:
    """Makes a workflow of the function below ``@workflow(...)``."""

    def __init__(
        self, name: str | None, options: Mapping[str, Any], names: Mapping[str, Any]
    ) -> None:
        self._name = name
        self._options = options
        self._names = names

    @overload
    def __call__(
        self, function: Callable[[WorkflowRun, Input], Awaitable[Result]], /
    ) -> CodeWorkflow[Input, Result]: ...
    @overload
    def __call__(
        self, function: Callable[[WorkflowRun], Awaitable[Result]], /
    ) -> CodeWorkflow[None, Result]: ...
    def __call__(self, function: Callable[..., Awaitable[Any]], /) -> CodeWorkflow[Any, Any]:
        if not is_coroutine_function(function):
            raise DefinitionError(
                f"The workflow {self._name or function!r}", ["is not an async function"], EXAMPLE
            )
        name = function.__name__ if self._name is None else self._name
        return CodeWorkflow(function, name, self._options, self._names)


def _locals_around() -> Mapping[str, Any]:
    """Return the names that are known where the caller of this one's caller stands."""
    frame = inspect.currentframe()
    around = None if frame is None or frame.f_back is None else frame.f_back.f_back
    return {} if around is None else around.f_locals


def workflow(
    name: str | None = None,
    *,
    timeout_seconds: float | None = None,
    usage_limits: Any = None,
    labels: Mapping[str, str] | None = None,
    description: str = "",
) -> _Maker:
    """Make a workflow of an ``async`` function: ``@workflow(name="refund")``.

    The function takes a `WorkflowRun`, on which it makes its calls, and the input. *name* (its own, if none
    is given) is what stored runs know it by. After *timeout_seconds* the run is cancelled, its finished
    calls are undone, and it fails. *usage_limits* says what a run may spend on models.
    """
    if callable(name):
        problem = "is declared with brackets: @workflow() or @workflow(name=...)"
        raise DefinitionError(f"The workflow {getattr(name, '__name__', '')!r}", [problem], EXAMPLE)
    if name is not None and (not isinstance(name, str) or not name.strip()):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError("A workflow", ["needs a name: a non-empty text"], EXAMPLE)
    if timeout_seconds is not None and not timeout_seconds > 0:
        raise DefinitionError(f"The workflow {name!r}", ["has no time: timeout_seconds"], EXAMPLE)
    options: dict[str, Any] = {}
    if timeout_seconds is not None:
        options["timeout_seconds"] = float(timeout_seconds)
    limits = read_usage_limits(f"the workflow {name!r}", usage_limits)
    if limits is not None:
        options["usage_limits"] = limits.to_dict()
    if labels:
        options["labels"] = dict(labels)
    if description:
        options["description"] = description
    return _Maker(name, options, _locals_around())
