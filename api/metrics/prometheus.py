"""The metrics for Prometheus (extra ``metrics``): as text, and as an ASGI app that answers with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import MissingExtra

from .descriptions import METRICS
from .measuring import Measures, measured_here
from .series import Series

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class _Collector:
    """Hands `prometheus_client` the metrics of several systems."""

    def __init__(self, measured: Iterable[Measures]) -> None:
        self._measured = tuple(measured)

    def collect(self) -> Iterator[Family]:
        """Yield each metric with the values of all systems."""
        for measures in self._measured:
            measures.refresh()
        for metric in METRICS:
            family = _family(metric.name)
            for measures in self._measured:
                _fill(family, measures.series[metric.name], measures.system.name)
            if family.samples:
                yield family


def _family(name: str) -> Any:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    from .descriptions import find_metric

    metric = find_metric(name)
    kinds = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "histogram": HistogramMetricFamily,
    }
    return kinds[metric.kind](
        metric.prometheus_name, metric.help, labels=list(metric.prometheus_labels)
    )


def _fill(family: Any, series: Series, system: str) -> None:
    """Add the values of *series* to *family*."""
    for labels, value in series.values().items():
        family.add_metric([system, *labels], value)
    for labels, (counts, total) in series.distributions().items():
        buckets: list[tuple[str, float]] = []
        below = 0
        for bound, count in zip((*series.metric.bounds, float("inf")), counts, strict=True):
            below += count
            buckets.append(("+Inf" if bound == float("inf") else repr(float(bound)), below))
        family.add_metric([system, *labels], buckets, sum_value=total)


def _registry(measures: Measures | None) -> Any:
    try:
        from prometheus_client import CollectorRegistry
    except ImportError:
        raise MissingExtra("Metrics for Prometheus", "metrics") from None
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(measured_here() if measures is None else (measures,)))
    return registry


def metrics_text(measures: Measures | None = None) -> str:
    """Return the metrics as Prometheus reads them: of *measures*, or of all that is measured here.

    Raises `MissingExtra`.
    """
    registry = _registry(measures)
    from prometheus_client import generate_latest

    return generate_latest(registry).decode()


def metrics_app(measures: Measures | None = None) -> ASGIApp:
    """Return an ASGI app that answers every ``GET`` with the metrics: mount it at ``/metrics``.

    Without *measures* it shows all systems that are measured at the moment of the request, so it can be
    made before any of them. It speaks Prometheus's text and OpenMetrics, as the request accepts. Raises
    `MissingExtra`.
    """
    _registry(measures)  # says at once what is missing

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            status, kind, body = _answer(scope, measures)
            headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
            if status == 405:
                headers.append((b"allow", b"GET, HEAD"))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            sent = b"" if scope["method"] == "HEAD" else body
            await send({"type": "http.response.body", "body": sent})
        else:
            await send({"type": "websocket.close", "code": 1000})

    return app


def _answer(scope: MutableMapping[str, Any], measures: Measures | None) -> tuple[int, bytes, bytes]:
    """Return status, content type and body."""
    if scope["method"] not in ("GET", "HEAD"):
        return 405, b"text/plain; charset=utf-8", b"Metrics are read with GET.\n"
    from prometheus_client.exposition import choose_encoder

    accepted = b", ".join(value for name, value in scope["headers"] if name.lower() == b"accept")
    encode, kind = choose_encoder(accepted.decode("latin-1"))
    body: bytes = encode(_registry(measures))
    return 200, kind.encode(), body


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


__all__ = ["ASGIApp", "metrics_app", "metrics_text"]
