"""The assignment of agents to roles by their capabilities, as good as any can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seat:
    """A place that is free: of which role, the how-manieth of it."""

    role: str
    number: int


def fit(capabilities: Iterable[str], needed: Sequence[str]) -> float:
    """Return how well *capabilities* fit what a role needs: from 0 (not at all) to 1 (all of it).

    A role that needs nothing fits every agent, a little.

    >>> fit(["writing"], ["writing", "formatting"]), fit(["cooking"], ["writing"]), fit([], [])
    (0.5, 0.0, 0.001)
    """
    if not needed:
        return 0.001
    have = set(capabilities)
    return sum(capability in have for capability in needed) / len(needed)


def match(
    agents: Mapping[str, Sequence[str]],
    seats: Mapping[str, tuple[Sequence[str], int]],
    limit: int | None = None,
) -> dict[str, str]:
    """Return which agent gets which role: as many agents as possible, then as fitting as possible.

    *agents* maps names to capabilities, *seats* maps roles to what they need and how many places are
    free; at most *limit* agents are placed. The result depends on what is given, not on its order:
    among equally good results the one that is first by name is chosen.

    The Hungarian method over agents and seats, O(agents squared times seats); a greedy choice lost,
    because it leaves agents over that another choice would have placed.

    >>> match({"ann": ["web", "text"], "bob": ["web"]}, {"search": (["web"], 1), "write": (["text"], 1)})
    {'ann': 'write', 'bob': 'search'}
    """
    names = sorted(agents)
    places = [
        Seat(role, number)
        for role in sorted(seats)
        for number in range(min(seats[role][1], len(names)))
    ]
    if not names or not places or limit == 0:
        return {}
    # Placing one agent more is worth more than any better fit; the tiny part prefers earlier names.
    weight = 2.0 * len(names)
    costs: list[list[float]] = []
    for row, name in enumerate(names):
        line: list[float] = []
        for column, seat in enumerate(places):
            value = fit(agents[name], seats[seat.role][0])
            if value == 0:
                line.append(0.0)
                continue
            order = 1e-6 * (row * len(places) + column) / (len(names) * len(places))
            line.append(-(weight + value) + order)
        # Places that stand for having no role.
        costs.append([*line, *([0.0] * len(names))])
    chosen: list[tuple[float, str, str]] = []
    for row, column in enumerate(_assign(costs)):
        if column < len(places) and costs[row][column] < 0:
            chosen.append((costs[row][column], names[row], places[column].role))
    if limit is not None and len(chosen) > limit:
        chosen = sorted(chosen)[:limit]
    return {name: role for _, name, role in sorted(chosen, key=lambda entry: entry[1])}


def _assign(costs: list[list[float]]) -> list[int]:
    """Return the column of each row so that the sum of the costs is least (rows <= columns).

    Source: the shortest augmenting path form of the Hungarian method, with potentials.
    """
    rows, columns = len(costs), len(costs[0])
    row_potential = [0.0] * (rows + 1)
    column_potential = [0.0] * (columns + 1)
    owner = [0] * (columns + 1)
    """Which row (from 1) has a column (from 1); column 0 stands for the row being placed."""
    came_from = [0] * (columns + 1)
    for row in range(1, rows + 1):
        owner[0] = row
        column = 0
        slack = [float("inf")] * (columns + 1)
        seen = [False] * (columns + 1)
        while True:
            seen[column] = True
            current = owner[column]
            delta, nearest = float("inf"), 0
            for j in range(1, columns + 1):
                if seen[j]:
                    continue
                cost = costs[current - 1][j - 1] - row_potential[current] - column_potential[j]
                if cost < slack[j]:
                    slack[j] = cost
                    came_from[j] = column
                if slack[j] < delta:
                    delta, nearest = slack[j], j
            for j in range(columns + 1):
                if seen[j]:
                    row_potential[owner[j]] += delta
                    column_potential[j] -= delta
                else:
                    slack[j] -= delta
            column = nearest
            if owner[column] == 0:
                break
        while column:
            before = came_from[column]
            owner[column] = owner[before]
            column = before
    result = [0] * rows
    for j in range(1, columns + 1):
        if owner[j]:
            result[owner[j] - 1] = j - 1
    return result
