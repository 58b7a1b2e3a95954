"""The same metrics for Prometheus, for OpenTelemetry, in the docs and in the dashboard."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agenticaiframework.actors import ActorSystem, Agent
from agenticaiframework.metrics import METRICS, measure, metrics_app, metrics_table, metrics_text
from agenticaiframework.patterns.engine import OrchestrationEngine

from .conftest import values

httpx = pytest.importorskip("httpx")

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "examples" / "metrics" / "dashboard.json"
UNITS = {"s", "USD"}


async def echo(payload: Any) -> Any:
    return payload


def client(app: Any) -> Any:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here")


def test_each_metric_is_described_once_and_well() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"[a-z][a-z_]*(\.[a-z_]+)+", metric.name), metric.name
        assert re.fullmatch(r"[a-z][a-z_]*", metric.prometheus_name), metric.prometheus_name
        assert metric.unit in UNITS or re.fullmatch(r"\{[a-z_]+\}", metric.unit), metric.name
        assert metric.help.endswith("."), metric.name
        assert metric.labels[0] == "system"
        assert bool(metric.bounds) is (metric.kind == "histogram")
        assert list(metric.bounds) == sorted(set(metric.bounds))


def test_what_prometheus_reads_is_what_is_described() -> None:
    async def main() -> None:
        async with ActorSystem("shop") as system, OrchestrationEngine() as engine:
            measures = measure(system, engine)
            await engine.execute({"name": "w", "steps": [{"id": "s", "agent": echo}]}, 1)
            described = {
                metric.prometheus_name.removesuffix("_total"): metric for metric in METRICS
            }
            for family in text_string_to_metric_families(metrics_text(measures)):
                metric = described[family.name]
                assert (family.type, family.documentation) == (metric.kind, metric.help)
                for sample in family.samples:
                    assert sample.labels["system"] == "shop"
                    assert sample.labels.keys() - {"le"} == set(metric.prometheus_labels)

    asyncio.run(main())


def test_a_histogram_adds_up() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            measures = measure(system)
            series = measures.series["loop.lag"]
            for value in (0.0, 0.0005, 0.0006, 2.0, 99_999.0):
                series.observe(value)
            value = values(measures)
            bucket = "loop_lag_seconds_bucket"
            assert value(bucket, le="0.0005") == 2
            assert value(bucket, le="0.001") == 3
            assert value(bucket, le="1800.0") == 4
            assert value(bucket, le="+Inf") == value("loop_lag_seconds_count") == 5

    asyncio.run(main())


def test_the_app_answers_as_it_is_asked() -> None:
    app = metrics_app()  # made before there is a system, as a module of a service does

    async def main() -> None:
        async with ActorSystem("one") as one, ActorSystem("two") as two, client(app) as http:
            measure(one)
            measure(two)
            await Agent("echo", handler=echo).ask(1)
            plain = await http.get("/anything", headers={"accept": "text/plain"})
            assert plain.status_code == 200
            assert plain.headers["content-type"].startswith("text/plain")
            assert 'system="one"' in plain.text
            assert 'system="two"' in plain.text
            families = list(text_string_to_metric_families(plain.text))
            assert len({family.name for family in families}) == len(families)
            accept = "application/openmetrics-text; version=1.0.0"
            opened = await http.get("/", headers={"accept": accept})
            assert opened.headers["content-type"].startswith("application/openmetrics-text")
            assert opened.text.endswith("# EOF\n")
            head = await http.head("/")
            assert (head.status_code, head.content) == (200, b"")
            posted = await http.post("/", content=b"x")
            assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
        async with client(app) as http:
            assert (await http.get("/")).text == ""  # all have ended

    asyncio.run(main())


def test_it_mounts_in_another_app_and_reads_from_another_thread() -> None:
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()
    app.mount("/metrics", metrics_app())

    async def main() -> None:
        async with client(app) as http:
            assert (await http.get("/metrics")).status_code in (200, 307)
            assert "pool" in (await http.get("/metrics/")).text

    with ActorSystem.in_background("background") as system:
        measures = measure(system)
        agent = Agent("plain", handler=lambda payload: payload)
        agent.request(1, system=system)
        for _ in range(6_000):
            value = values(measures)
            if value("loop_lag_seconds_count") and value("messages_total", actor="plain"):
                break
            asyncio.run(asyncio.sleep(0.02))
        asyncio.run(main())
        assert values(measures)("messages_total", actor="plain") == 1


def test_lifespan_and_websockets_are_answered() -> None:
    app = metrics_app()
    sent: list[Any] = []
    told = iter(({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}))

    async def receive() -> Any:
        return next(told)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def main() -> None:
        await app({"type": "lifespan"}, receive, send)
        await app({"type": "websocket"}, receive, send)

    asyncio.run(main())
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


def test_opentelemetry_has_the_same_metrics() -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])

    async def main() -> Any:
        async with ActorSystem("shop") as system, OrchestrationEngine() as engine:
            measures = measure(system, engine, meter_provider=provider)
            await Agent("echo", handler=echo).ask(1)
            await engine.execute({"name": "w", "steps": [{"id": "s", "agent": echo}]}, 1)
            measures.refresh()
            return reader.get_metrics_data(), metrics_text(measures)

    data, text = asyncio.run(main())
    provider.shutdown()
    [scope] = data.resource_metrics[0].scope_metrics
    found = {metric.name: metric for metric in scope.metrics}
    described = {metric.name: metric for metric in METRICS}
    assert found.keys() <= described.keys()
    # What one has, the other has: by the rules that turn the names of one into those of the other.
    here = {described[name].prometheus_name.removesuffix("_total") for name in found}
    assert here == {family.name for family in text_string_to_metric_families(text)}
    for name, metric in found.items():
        assert (metric.unit, metric.description) == (described[name].unit, described[name].help)
    [handled] = [
        point
        for point in found["agenticaiframework.messages"].data.data_points
        if point.attributes["actor"] == "echo"
    ]
    assert handled.value == 1
    assert dict(handled.attributes) == {"system": "shop", "actor": "echo"}
    [step] = found["agenticaiframework.workflow.step.duration"].data.data_points
    assert step.explicit_bounds == described["agenticaiframework.workflow.step.duration"].bounds
    assert step.attributes["step"] == "s"


# -- docs and dashboard ---------------------------------------------------------------------------


def test_the_table_in_the_docs_is_made_from_the_descriptions() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    assert metrics_table() in page, "docs/metrics.md: put metrics_table() there"


def queries() -> list[str]:
    """Return all queries of the dashboard."""

    def look(node: Any) -> list[str]:
        if isinstance(node, list):
            return [query for each in node for query in look(each)]
        if not isinstance(node, dict):
            return []
        own = [str(node[key]) for key in ("expr", "definition") if key in node]
        return own + [query for each in node.values() for query in look(each)]

    return look(json.loads(DASHBOARD.read_text("utf-8")))


def asked_for(query: str) -> list[tuple[str, set[str]]]:
    """Return the names of metrics in *query*, each with the labels that are chosen by."""
    pattern = r"((?:agenticaiframework|gen_ai)_[a-z_]+)(?:\{([^}]*)\})?"
    return [
        (name, set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", labels)))
        for name, labels in re.findall(pattern, re.sub(r"by \([^)]*\)|, \w+\)", "", query))
    ]


def test_the_dashboard_asks_for_metrics_and_labels_that_there_are() -> None:
    known: dict[str, Any] = {}
    for metric in METRICS:
        ends = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        known |= {f"{metric.prometheus_name}{end}": metric for end in ends}
    asked: set[str] = set()
    assert queries()
    for query in queries():
        names = {name for name, _ in asked_for(query)}
        labels_there = {label for name in names for label in known[name].prometheus_labels}
        for name, labels in asked_for(query):
            assert name in known, f"{name} in {query!r}"
            assert labels <= {*known[name].prometheus_labels, "le"}, query
            asked.add(known[name].name)
        for grouped in re.findall(r"by \(([^)]*)\)", query):
            assert {label.strip() for label in grouped.split(",")} <= {*labels_there, "le"}, query
    unseen = {metric.name for metric in METRICS} - asked
    assert not unseen, f"the dashboard shows nothing of {sorted(unseen)}"


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    assert dashboard["schemaVersion"] >= 36
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies over another"
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["targets"], panel["title"]
            assert panel["description"], panel["title"]
