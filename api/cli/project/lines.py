"""In which line of a file a problem is: read from the place that the problem names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

_PLACE: Final = re.compile(r"[\w.\[\]-]+(?=[: (])")
_PART: Final = re.compile(r"[^.\[\]]+")
_UNKNOWN: Final = re.compile(r"unknown field '([^']+)'")


def with_lines(problems: Sequence[str], text: str) -> list[str]:
    """Return *problems*, each with the line of *text* that it is about, as far as that can be told.

    *text* has been read already, so it is within all bounds.
    """
    import yaml

    try:
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        root: Any = yaml.compose(text, Loader=loader)
    except (yaml.YAMLError, RecursionError):  # JSON that is not YAML
        return list(problems)
    fields = _Fields()
    return [_with_line(problem, root, fields) for problem in problems]


class _Fields(dict[int, dict[str, tuple[Any, int]]]):
    """The fields of mappings by the ids of their nodes, each gone through once: problems may be many."""

    def of(self, node: Any) -> dict[str, tuple[Any, int]]:
        """Return what each key of *node* stands for, and the key's line."""
        found = self.get(id(node))
        if found is None:
            found = self[id(node)] = {
                key.value: (value, key.start_mark.line)
                for key, value in node.value
                if isinstance(key.value, str)
            }
        return found


def _with_line(problem: str, root: Any, fields: _Fields) -> str:
    place = _PLACE.match(problem)
    trail = [] if place is None else _PART.findall(place.group())
    node, line, depth = root, None, 0
    for part in trail:
        step = _step(node, part, fields)
        if step is None:
            break
        node, line = step
        depth += 1
    unknown = _UNKNOWN.search(problem)
    if unknown is not None and (step := _step(node, unknown.group(1), fields)) is not None:
        line = step[1]
    elif trail and not depth:
        return problem
    return problem if line is None else f"line {line + 1}: {problem}"


def _step(node: Any, part: str, fields: _Fields) -> tuple[Any, int] | None:
    """Return the part of *node* that is called *part*, and its line; None if there is none."""
    if node is None or isinstance(node.value, str):
        return None
    if node.id == "sequence":
        if not part.isdigit() or int(part) >= len(node.value):
            return None
        item = node.value[int(part)]
        return item, item.start_mark.line
    return fields.of(node).get(part)
