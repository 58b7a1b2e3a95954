"""The values of the metrics, by their labels, and how many different labels there may be."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from threading import Lock
from typing import Final, Protocol

from .descriptions import METRICS, Metric, find_metric

OTHER: Final = "other"
"""In the place of a label that there is no more room for."""
MAX_SERIES: Final = 2_000
"""Combinations of labels that one metric has at most: beyond, all of them are `OTHER`."""

Labels = tuple[str, ...]


class Names:
    """Which values of a label are told apart: the first *most* that come, each at most 100 characters.

    So what an agent, a workflow or an error is called can make a server's series as many as that, not more.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, dict[str, str]] = {}

    def bounded(self, label: str, value: str) -> str:
        """Return *value*, or `OTHER`."""
        known = self._known.get(label)
        if known is None:
            known = self._known.setdefault(label, {})
        found = known.get(value)
        if found is None:
            found = value[:100] if len(known) < self._most else OTHER
            if len(known) < self._most:
                known[value] = found
        return found


class Recorder(Protocol):
    """Is told of every observation of a histogram."""

    def record(self, value: float, labels: Mapping[str, str], /) -> None: ...


class Distribution:
    """What was observed in a histogram under the same labels."""

    __slots__ = ("counts", "sum")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * (buckets + 1)
        """Observations in each bucket, and last those above all bounds."""
        self.sum = 0.0


class Series:
    """The values of one metric, by its labels, the first of which (the system) is left out.

    Safe from any thread.
    """

    def __init__(self, metric: Metric, names: Names) -> None:
        self.metric = metric
        self.recorder: Recorder | None = None
        self._names = names
        self._labels = metric.labels[1:]
        self._lock = Lock()
        self._values: dict[Labels, float] = {}
        self._distributions: dict[Labels, Distribution] = {}

    def _key(self, labels: Labels, taken: Mapping[Labels, object]) -> Labels:
        if labels in taken:
            return labels  # nearly always
        bounded = self._names.bounded
        key = tuple(
            [bounded(label, value) for label, value in zip(self._labels, labels, strict=True)]
        )
        if key not in taken and len(taken) >= MAX_SERIES:
            return (OTHER,) * len(key)
        return key

    def add(self, number: float, *labels: str) -> None:
        """Count *number* more."""
        with self._lock:
            key = self._key(labels, self._values)
            self._values[key] = self._values.get(key, 0.0) + number

    def replace(self, values: Mapping[Labels, float], *, largest: bool = False) -> None:
        """Let *values* be the values from now on: of those under the same name the sum, or the largest."""
        new: dict[Labels, float] = {}
        for labels, value in values.items():
            key = self._key(labels, new)
            before = new.get(key, 0.0)
            new[key] = max(before, value) if largest else before + value
        with self._lock:
            self._values = new

    def observe(self, value: float, *labels: str, times: int = 1) -> None:
        """Take *value* in, which stands for so many observations like it."""
        with self._lock:
            key = self._key(labels, self._distributions)
            found = self._distributions.get(key)
            if found is None:
                found = self._distributions[key] = Distribution(len(self.metric.bounds))
            found.counts[bisect_left(self.metric.bounds, value)] += times
            found.sum += value * times
        if self.recorder is not None:
            self.recorder.record(value, dict(zip(self._labels, key, strict=True)))

    def values(self) -> dict[Labels, float]:
        """Return the values by labels."""
        with self._lock:
            return dict(self._values)

    def distributions(self) -> dict[Labels, tuple[list[int], float]]:
        """Return how often each bucket was met, and the sum, by labels."""
        with self._lock:
            return {key: (list(one.counts), one.sum) for key, one in self._distributions.items()}


class AllSeries:
    """The series of all metrics of one system."""

    def __init__(self, max_names: int) -> None:
        names = Names(max_names)
        self._by_name = {metric.name: Series(metric, names) for metric in METRICS}
        self._found: dict[str, Series] = {}

    def __getitem__(self, name: str) -> Series:
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._by_name[find_metric(name).name]
        return found

    def all(self) -> list[Series]:
        """Return the series in the order of their descriptions."""
        return list(self._by_name.values())
