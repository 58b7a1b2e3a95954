"""Whether some things go round in a circle: steps that wait for each other, agents that delegate to each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

Node = TypeVar("Node")


def find_cycle(edges: Mapping[Node, Iterable[Node]]) -> list[Node] | None:
    """Return the nodes of a cycle, the first one again at the end, or None.

    >>> find_cycle({"a": ["b"], "b": ["a"], "c": []})
    ['a', 'b', 'a']
    """
    done: set[Node] = set()
    for start in edges:
        path: list[Node] = []
        on_path: set[Node] = set()
        stack: list[tuple[Node, bool]] = [(start, True)]
        while stack:
            node, entering = stack.pop()
            if not entering:
                path.pop()
                on_path.discard(node)
                done.add(node)
                continue
            if node in on_path:
                return [*path[path.index(node) :], node]
            if node in done:
                continue
            path.append(node)
            on_path.add(node)
            stack.append((node, False))
            stack.extend((name, True) for name in edges.get(node, ()))
    return None
