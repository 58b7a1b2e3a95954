"""One of several agents, chosen by rules or by another agent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, cast

from pydantic import BeforeValidator, Field

from agenticaiframework.actors import TurnShape

from ..definition.drawing import Drawing
from ..definition.fields import ConditionField, compile_condition
from ..definition.step import Ask, AskField, coerce_ask, input_scope, unique_names
from ..execution.choices import choice, one_of, plain, turn_for
from ..execution.execution import Execution
from ..execution.pattern import OrchestrationPattern, PatternDefinition
from ..vocabulary.causes import UnretriableError
from ..vocabulary.errors import PatternFailed, UnexpectedAnswer, work_failed
from ..vocabulary.outcome import Completed, Outcome, Skipped
from ..vocabulary.target import Target

DEFAULT = "default"


class Route(Ask):
    """One way: *condition* over the input (``"default"`` always holds), and the agent that is asked.

    Without a condition it is taken by default; where a classifier chooses among several such, only
    by its name.
    """

    condition: ConditionField | Literal["default"] | None = None


RouteField: TypeAlias = Annotated[Route, BeforeValidator(coerce_ask)]


class RouterDefinition(PatternDefinition):
    """A router: its routes, in order, and the agent that chooses where no rules do."""

    routes: tuple[RouteField, ...] = Field(min_length=1)
    classifier: AskField | None = None


def _never(_scope: Mapping[str, Any]) -> bool:
    """The condition of a route that only a classifier's answer takes."""
    return False


def _choice_of(routes: Iterable[tuple[str, Route, Any]]) -> TurnShape:
    """Return what a classifier is asked for: the name of one of *routes*."""
    said = [
        f"{name}: {text}" if (text := getattr(route.agent, "description", "")) else name
        for name, route, _ in routes
    ]
    names = [name for name, _, _ in routes]
    folded = {name.casefold(): name for name in names}

    def read(answer: Any) -> Any:
        if not isinstance(answer, str):
            return answer
        word = answer.strip()
        return {"route": word if word in names else folded.get(word.casefold(), word)}

    return choice(
        "Route",
        "The one that the input goes to.",
        reads=read,
        route=(one_of(names), "; ".join(said)),
    )


class NoRoute(PatternFailed, UnretriableError):
    """No route is for this input."""

    def __init__(self, pattern: str, rules: Sequence[str], outcomes: Mapping[str, Outcome]) -> None:
        super().__init__(
            pattern,
            f"has no route for this input. Its rules, in order: {'; '.join(rules)}. "
            'Add a route with "condition": "default"',
            outcomes,
        )
        self.rules = tuple(rules)


class RouterOrchestration(OrchestrationPattern):
    """The first route that matches gets the input, and its answer is the result.

    With a *classifier* (an agent or a function), its answer chooses: the name of a route, or a
    mapping with ``"route"``; rules then only apply to what it answers (as ``output``) if it names no
    route, and of several without a condition none is taken by default. Nothing matches: `NoRoute`,
    which lists the rules. Where no rule asks for anything else, a classifier with a model and without an
    output type is asked for one of the names, and another answer goes back to it.
    """

    kind: ClassVar[str] = "router"
    definition_type = RouterDefinition
    example = (
        'RouterOrchestration(name="desk", routes=['
        '{"condition": "input.priority == \'high\'", "agent": "senior"}, {"agent": "junior"}])'
    )

    def __init__(
        self,
        name: str,
        routes: Sequence[Target | Route | Mapping[str, Any]],
        *,
        classifier: Target | Ask | Mapping[str, Any] | None = None,
        timeout: float | None = None,
        usage_limits: Any = None,
    ) -> None:
        super().__init__(
            self._define(
                {
                    "name": name,
                    "routes": routes,
                    "classifier": classifier,
                    "timeout": timeout,
                    "usage_limits": usage_limits,
                }
            )
        )

    def _prepare(self) -> None:
        spec = self._spec
        names = unique_names(route.label for route in spec.routes)
        # Several without a condition cannot all be the default where a classifier tells them apart.
        several = sum(route.condition in (None, DEFAULT) for route in spec.routes) > 1
        by_name = _never if several and spec.classifier is not None else None
        conditions = [
            by_name
            if route.condition is None
            else None
            if route.condition == DEFAULT
            else compile_condition(route.condition)
            for route in spec.routes
        ]
        if spec.classifier is None and None in conditions[:-1]:
            at = conditions.index(None)
            raise self._wrong(
                f"the routes after {names[at]!r} can never be taken: it is taken by default"
            )
        self._routes = tuple(zip(names, spec.routes, conditions, strict=True))
        ruled = any(route.condition not in (None, DEFAULT) for route in spec.routes)
        self._shape = None if spec.classifier is None or ruled else _choice_of(self._routes)

    @property
    def _spec(self) -> RouterDefinition:
        return cast(RouterDefinition, self._definition)

    def targets(self) -> Iterable[Target]:
        for route in self._spec.routes:
            yield from route.targets()
        if self._spec.classifier is not None:
            yield from self._spec.classifier.targets()

    async def coordinate(self, run: Execution) -> Any:
        name, route = await self._choose(run)
        outcome = await run.perform(name, route.agent, run.input, route.policy)
        if isinstance(outcome, Completed):
            return outcome.value
        if isinstance(outcome, Skipped):
            return run.input
        raise work_failed(self.name, name, outcome, run.outcomes, "the route taken")

    async def _choose(self, run: Execution) -> tuple[str, Route]:
        answer: Any = None
        classifier = self._spec.classifier
        if classifier is not None:
            work = unique_names([*(n for n, _, _ in self._routes), classifier.label])[-1]
            turn = turn_for(run, classifier.agent, self._shape)
            outcome = await run.perform(work, classifier.agent, run.input, classifier.policy, turn)
            if isinstance(outcome, Completed):
                answer = plain(outcome.value)
            elif not isinstance(outcome, Skipped):
                raise work_failed(self.name, work, outcome, run.outcomes, "the classifier")
            chosen = self._named(run, classifier.label, answer)
            if chosen is not None:
                return chosen
        scope = input_scope(run.input, output=answer)
        for name, route, condition in self._routes:
            if condition is None or run.holds(name, condition, scope):
                run.handed_off(self.name, name, str(route.condition or DEFAULT))
                return name, route
        if classifier is not None and all(test is _never for _, _, test in self._routes):
            raise self._no_name(run, classifier.label, answer)
        rules = [f"{route.condition or 'by name'} -> {name}" for name, route, _ in self._routes]
        raise NoRoute(self.name, rules, run.outcomes)

    def _named(self, run: Execution, classifier: str, answer: Any) -> tuple[str, Route] | None:
        """Return the route that the classifier's *answer* names, if it names one."""
        named: Any = answer
        if isinstance(answer, Mapping):
            named = cast(Mapping[str, Any], answer).get("route")
        if not isinstance(named, str):
            return None
        wanted = named.strip()
        for name, route, _ in self._routes:
            if name == wanted or name.casefold() == wanted.casefold():
                run.handed_off(classifier, name, "classified")
                return name, route
        if any(condition is None for _, _, condition in self._routes):
            return None
        raise self._no_name(run, classifier, wanted)

    def _no_name(self, run: Execution, classifier: str, answer: Any) -> UnexpectedAnswer:
        names = [name for name, _, _ in self._routes]
        return UnexpectedAnswer(
            self.name, classifier, "the name of a route", answer, run.outcomes, known=names
        )

    def draw(self, drawing: Drawing) -> None:
        start = drawing.node("input", "end")
        classifier = self._spec.classifier
        chooser = drawing.node(self.name, "choice")
        if classifier is None:
            drawing.edge(start, chooser)
        else:
            node = drawing.target(classifier.agent)
            drawing.edge(start, node)
            drawing.edge(node, chooser)
        end = drawing.node("result", "end")
        for _name, route, _ in self._routes:
            node = drawing.target(route.agent)
            label = route.condition if isinstance(route.condition, str) else ""
            drawing.edge(chooser, node, label)
            drawing.edge(node, end)
