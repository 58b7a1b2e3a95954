"""Definitions from text: JSON and YAML, read within bounds, with no key twice and no code."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import MissingExtra, shown

from ...definition.bounds import DEFINITIONS, VALUES
from ...definition.errors import DefinitionError

if TYPE_CHECKING:
    from types import ModuleType

EXAMPLE: Final = (
    '{"name": "support", "steps": [{"id": "classify", "agent": "classifier", '
    '"input": {"message": "$input.message"}}]}'
)

LARGEST_TEXT: Final = 4_000_000
"""Characters of a definition that is read."""

_MERGE: Final = "tag:yaml.org,2002:merge"
_TOO_MANY: Final = f"more than {DEFINITIONS.values:,} values"

LARGEST_KEY: Final = 10**18
"""A key that is a number. Of larger ones any number have one hash, and each is compared with all."""

LONGEST_NUMBER: Final = 400
"""Digits of a number in YAML. A longer one takes quadratic time to read."""


def parse_text(text: str, name: str = "The text") -> Any:
    """Return the data that JSON or YAML *text* holds; raises `DefinitionError` with its place.

    What is too long, too deep or too large, holds itself, or has a key twice, is refused.
    """
    if len(text) > LARGEST_TEXT:
        raise DefinitionError(name, [f"has more than {LARGEST_TEXT:,} characters"])
    is_json = name.endswith(".json") or text.lstrip().startswith("{")
    try:
        data = _parse_json(text, name) if is_json else _parse_yaml(text, name)
    except RecursionError:
        too_deep = f"is nested more than {DEFINITIONS.depth} levels deep"
        raise DefinitionError(name, [too_deep]) from None
    problem = DEFINITIONS.problem(data)
    if problem is not None:
        raise DefinitionError(name, [problem])
    return data


def read_source(source: str | Path) -> tuple[str, str]:
    """Return the text that *source* names or is, and what to call it in errors."""
    if isinstance(source, str):
        one_line = "\n" not in source.strip()
        if not (one_line and source.strip().endswith((".json", ".yaml", ".yml"))):
            return source, "The text"
        source = Path(source.strip())
    return read_file(source), str(source)


def read_file(path: Path) -> str:
    """Return the text in a file; raises `DefinitionError` for what cannot be read, or is too long."""
    try:
        with path.open("rb") as file:
            data = file.read(4 * LARGEST_TEXT + 1)
        if len(data) <= 4 * LARGEST_TEXT:
            return data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise DefinitionError(str(path), ["is not text in UTF-8"]) from None
        reason = getattr(error, "strerror", None) or str(error)
        raise DefinitionError(str(path), [f"cannot be read: {reason}"]) from None
    raise DefinitionError(str(path), [f"has more than {LARGEST_TEXT:,} characters"])


# -- JSON ------------------------------------------------------------------------------------------


def strict_json(text: str | bytes) -> Any:
    """Return the value that JSON *text* is, of any size.

    Raises ValueError for a key that stands twice in one object and for NaN, and its
    `json.JSONDecodeError` for what is not JSON; RecursionError.
    """
    return json.loads(text, object_pairs_hook=_fields, parse_constant=_no_number)


def read_json(text: str) -> Any:
    """Return the value that JSON *text* is; raises ValueError that says what is wrong.

    A key that stands twice, NaN, and what is nested too deep or too large are wrong.
    """
    try:
        value = strict_json(text)
    except RecursionError:
        raise ValueError(f"it is nested more than {VALUES.depth} levels deep") from None
    problem = VALUES.problem(value)
    if problem is not None:
        raise ValueError(problem)
    return value


def _parse_json(text: str, name: str) -> Any:
    try:
        return strict_json(text)
    except ValueError as error:
        raise DefinitionError(name, [f"is not JSON: {error}"], EXAMPLE) from None


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        double = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {shown(double, 60)} stands twice in one object")
    return fields


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not a number in JSON")


# -- YAML ------------------------------------------------------------------------------------------


def _parse_yaml(text: str, name: str) -> Any:
    yaml = load_yaml()
    try:
        _check_nesting(yaml, text)
        return yaml.load(text, Loader=_loader())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        raise DefinitionError(name, [f"is not YAML{at}: {problem}"]) from None
    except (ValueError, OverflowError) as error:
        # A date that there is not, for example.
        raise DefinitionError(name, [f"is not YAML: {error}"]) from None


def _check_nesting(yaml: ModuleType, text: str) -> None:
    """Raise RecursionError for what is nested too deep: the parser's events are a flat list."""
    depth = 0
    for event in yaml.parse(text, Loader=_loader()):
        if isinstance(event, yaml.events.CollectionStartEvent):
            depth += 1
            if depth > DEFINITIONS.depth:
                raise RecursionError
        elif isinstance(event, yaml.events.CollectionEndEvent):
            depth -= 1


@cache
def _loader() -> Any:
    """Return PyYAML's safe loader (in C, where there is one), for which a key twice is an error."""
    yaml = load_yaml()
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    wrong = partial(yaml.constructor.ConstructorError, None, None)

    class Loader(base):  # type: ignore[misc]
        """Reads plain data alone."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            """Return the mapping, which has no key twice; ``<<`` may be overridden."""
            if isinstance(node, yaml.MappingNode):
                self.flatten_mapping(node)
                self.unique_keys(node)
            return base.construct_mapping(self, node, deep)

        def unique_keys(self, node: Any) -> None:
            """Raise for a key that stands twice in what a mapping was written as; it is looked at once."""
            known: set[int] = self.__dict__.setdefault("unique", set())
            if id(node) in known:
                return
            known.add(id(node))
            seen: set[Hashable] = set()
            for key_node, _ in node.value:
                if key_node.tag == _MERGE:
                    continue
                key = self.construct_object(key_node, deep=True)
                if isinstance(key, int) and abs(key) > LARGEST_KEY:
                    number = f"a key is the number {shown(key, 60)}; as a text it can be one"
                    raise wrong(number, key_node.start_mark)
                if isinstance(key, Hashable):
                    if key in seen:
                        raise wrong(f"the key {shown(key, 60)} stands twice", key_node.start_mark)
                    seen.add(key)

        def flatten_mapping(self, node: Any) -> None:
            """Lay what ``<<`` names under the mapping. What is laid is counted before it is: each
            mapping that lays the one before under itself makes all of them quadratic.
            """
            merges = [value for key, value in node.value if key.tag == _MERGE]
            if not merges:
                base.flatten_mapping(self, node)
                return
            self.unique_keys(node)  # from now on it holds what it overrides, too
            node.value = [pair for pair in node.value if pair[0].tag != _MERGE]
            laid: list[Any] = []
            for value in reversed(merges):  # the first one counts most
                many = isinstance(value, yaml.SequenceNode)
                for under in reversed(value.value) if many else (value,):
                    if not isinstance(under, yaml.MappingNode):
                        raise wrong("'<<' names a mapping, or a list of them", under.start_mark)
                    self.flatten_mapping(under)
                    self.laid = getattr(self, "laid", 0) + len(under.value)
                    if self.laid > DEFINITIONS.values:
                        raise wrong(f"'<<' makes {_TOO_MANY}", node.start_mark)
                    laid += under.value
            base.flatten_mapping(self, node)
            node.value = [*laid, *node.value]

    _bound_numbers(yaml, Loader, base)
    return Loader


def _bound_numbers(yaml: ModuleType, loader: Any, base: Any) -> None:
    """Have *loader* refuse numbers whose reading would take time beyond measure."""

    def bounded(construct: Any) -> Any:
        def number(loader: Any, node: Any) -> Any:
            if len(node.value) > LONGEST_NUMBER:
                raise yaml.constructor.ConstructorError(
                    None, None, f"a number has more than {LONGEST_NUMBER} digits", node.start_mark
                )
            return construct(loader, node)

        return number

    loader.add_constructor("tag:yaml.org,2002:int", bounded(base.construct_yaml_int))
    loader.add_constructor("tag:yaml.org,2002:float", bounded(base.construct_yaml_float))


def load_yaml() -> ModuleType:
    """Return PyYAML; raises MissingExtra."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("Reading and writing YAML", "yaml") from error
    return yaml
