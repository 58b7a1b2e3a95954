"""Cycles among things that refer to each other: steps that wait, parents that delegate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

Node = TypeVar("Node")


def find_cycle(edges: Mapping[Node, Iterable[Node]]) -> list[Node] | None:
    """Return the nodes of a cycle in *edges*, the first one again at the end, or None.

    >>> find_cycle({"a": ["b"], "b": ["c", "a"]})
    ['a', 'b', 'a']
    """
    done: set[Node] = set()
    for start in edges:
        if start in done:
            continue
        # Depth first without recursion: edges may be data from outside, of any depth.
        path: list[Node] = [start]
        on_path = {start}
        branches = [iter(edges.get(start, ()))]
        while branches:
            child = next(branches[-1], None)
            if child is None:
                branches.pop()
                leaving = path.pop()
                on_path.discard(leaving)
                done.add(leaving)
            elif child in on_path:
                return [*path[path.index(child) :], child]
            elif child not in done:
                path.append(child)
                on_path.add(child)
                branches.append(iter(edges.get(child, ())))
    return None
