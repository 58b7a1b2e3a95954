"""The metrics as instruments of OpenTelemetry (extra ``otel``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import MissingExtra

from .series import AllSeries, Series

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation


class _Histogram:
    """Hands the observations of a series on. Of handlers that stand for others, one is recorded."""

    def __init__(self, instrument: Any, system: str) -> None:
        self._instrument = instrument
        self._system = system

    def record(self, value: float, labels: Mapping[str, str]) -> None:
        self._instrument.record(value, attributes(self._system, labels))


def attributes(system: str, labels: Mapping[str, str]) -> dict[str, str]:
    """Return *labels* as attributes: what says nothing is left out."""
    return {"system": system, **{name: value for name, value in labels.items() if value}}


def make_instruments(all_series: AllSeries, system: str, provider: MeterProvider) -> None:
    """Let *provider* have all metrics. Raises `MissingExtra`.

    What is counted, and what is looked at, it asks for; what is observed, it is told.
    """
    if find_spec("opentelemetry") is None:
        raise MissingExtra("Metrics by OpenTelemetry", "otel")
    meter = provider.get_meter("agenticaiframework")
    for series in all_series.all():
        metric = series.metric
        about = {"unit": metric.unit, "description": metric.help}
        if metric.kind == "histogram":
            instrument = meter.create_histogram(
                metric.name, **about, explicit_bucket_boundaries_advisory=list(metric.bounds)
            )
            series.recorder = _Histogram(instrument, system)
        elif metric.kind == "counter":
            meter.create_observable_counter(metric.name, [_callback(series, system)], **about)
        else:
            meter.create_observable_gauge(metric.name, [_callback(series, system)], **about)


def _callback(series: Series, system: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    from opentelemetry.metrics import Observation

    names = series.metric.labels[1:]

    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(value, attributes(system, dict(zip(names, labels, strict=True))))
            for labels, value in series.values().items()
        ]

    return observe


__all__ = ["make_instruments"]
