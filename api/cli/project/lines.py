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
        root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):  # JSON that is not YAML
        return list(problems)
    return [_with_line(problem, root) for problem in problems]


def _with_line(problem: str, root: Any) -> str:
    place = _PLACE.match(problem)
    trail = [] if place is None else _PART.findall(place.group())
    node, line, depth = root, None, 0
    for part in trail:
        step = _step(node, part)
        if step is None:
            break
        node, line = step
        depth += 1
    unknown = _UNKNOWN.search(problem)
    if unknown is not None and (step := _step(node, unknown.group(1))) is not None:
        line = step[1]
    elif trail and not depth:
        return problem
    return problem if line is None else f"line {line + 1}: {problem}"


def _step(node: Any, part: str) -> tuple[Any, int] | None:
    """Return the part of *node* that is called *part*, and its line; None if there is none."""
    if node is None or isinstance(node.value, str):
        return None
    if node.id == "sequence":
        if not part.isdigit() or int(part) >= len(node.value):
            return None
        item = node.value[int(part)]
        return item, item.start_mark.line
    for key, value in node.value:
        if key.value == part:
            return value, key.start_mark.line
    return None
