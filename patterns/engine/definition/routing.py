"""Routing: rules that pick what runs for an input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from agenticaiframework.actors import near_names

from ...definition.errors import DefinitionError
from ...execution.pattern import pattern_kinds
from ...expressions.errors import ExpressionError
from ...expressions.expression import Expression, compile_expression
from ..errors import NoRouteMatches
from .plan import Plan
from .workflow import make_workflow

DEFAULT: Final = "default"
"""The condition that always holds."""

ROUTE: Final = "route"
"""The id of the one step that a rule's workflow has."""

EXAMPLE: Final = '{"condition": "input.priority == \'high\'", "pattern": "parallel", "agents": ["fast", "backup"]}'


class Rule:
    """One rule: when it holds, and what runs then."""

    __slots__ = ("condition", "plan", "text")

    def __init__(self, text: str, condition: Expression | None, plan: Plan | None) -> None:
        self.text = text
        self.condition = condition
        self.plan = plan
        """None: the rule names a whole workflow, which is looked up when it is run."""


class Routing:
    """Rules in their order; the first that holds wins. Immutable."""

    def __init__(self, rules: Sequence[Mapping[str, Any]] = ()) -> None:
        problems: list[str] = []
        self.rules: tuple[Rule, ...] = ()
        self.workflows: dict[int, Any] = {}
        found: list[Rule] = []
        if not isinstance(rules, (list, tuple)):
            problems.append(f"is a list of rules, not {rules!r}")
            rules = ()
        for position, given in enumerate(rules):
            try:
                found.append(self._read(position, given))
            except (DefinitionError, ExpressionError) as error:
                listed = getattr(error, "problems", None) or (str(error),)
                problems += [f"rules[{position}]: {problem}" for problem in listed]
        if problems:
            raise DefinitionError("The routing", problems, EXAMPLE)
        self.rules = tuple(found)

    def _read(self, position: int, given: Any) -> Rule:
        if not isinstance(given, Mapping):
            raise DefinitionError("", [f"is a mapping, not {given!r}"])
        fields = dict(cast("Mapping[str, Any]", given))
        text = fields.pop("condition", None)
        if not isinstance(text, str):
            raise DefinitionError("", ['has no condition; "default" always holds'])
        condition = None if text.strip() == DEFAULT else compile_expression(text)
        for name in condition.names if condition is not None else ():
            if name != "input":
                raise DefinitionError(
                    "",
                    [
                        f"condition reads {name!r}, and a rule can only read the input: write "
                        f"input.{name}, or quote a text: '{name}'. {near_names(name, ['input'])}"
                    ],
                )
        name = fields.pop("name", None) or f"{ROUTE}:{text.strip()}"[:120]
        if (
            "workflow" in fields
            and "team" not in fields
            and not isinstance(fields["workflow"], (list, tuple))
        ):
            workflow = fields.pop("workflow")
            if fields:
                raise DefinitionError("", [f"{', '.join(fields)} does not go with workflow"])
            if isinstance(workflow, str):
                self.workflows[position] = workflow
                return Rule(text, condition, None)
            return Rule(text, condition, make_workflow(workflow).plan)
        pattern = fields.get("pattern")
        over_agents = "agents" in fields or "root" in fields
        if isinstance(pattern, str) and over_agents and pattern not in pattern_kinds():
            kinds = pattern_kinds()
            raise DefinitionError(
                "",
                [f"{pattern!r} is not a kind of pattern over agents. {near_names(pattern, kinds)}"],
            )
        definition = {
            "name": name,
            "steps": [{"id": ROUTE, "input": "$input", **fields}],
            "output": f"${ROUTE}",
        }
        return Rule(text, condition, make_workflow(definition).plan)

    def pick(self, input_data: Any) -> Plan | str:
        """Return the plan, or the name of the registered workflow, of the first rule that holds.

        Raises `NoRouteMatches` with all rules when none does.
        """
        scope = {"input": input_data}
        for position, rule in enumerate(self.rules):
            if rule.condition is None or rule.condition.test(scope):
                return rule.plan if rule.plan is not None else str(self.workflows[position])
        raise NoRouteMatches([rule.text for rule in self.rules])
