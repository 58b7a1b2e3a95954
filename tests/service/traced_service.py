"""The example service with a workflow that does everything, and its spans in a file, as a process.

python traced_service.py PORT FOLDER
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PORT, FOLDER = int(sys.argv[1]), Path(sys.argv[2])
os.environ["DATABASE_URL"] = f"sqlite:///{FOLDER}/runs.sqlite"
os.environ["DRAIN_S"] = "10"

import uvicorn
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from agenticaiframework import Agent
from agenticaiframework.patterns import ParallelOrchestration, SequentialOrchestration


class InFile(SpanExporter):
    """Writes each span to a file as soon as it has ended."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with (FOLDER / "spans").open("a", encoding="utf-8") as file:
            for span in spans:
                context: Any = span.context
                row = {
                    "name": span.name, "trace": f"{context.trace_id:032x}",
                    "span": f"{context.span_id:016x}", "start": span.start_time, "pid": os.getpid(),
                    "parent": None if span.parent is None else f"{span.parent.span_id:016x}",
                    "thread": (span.attributes or {}).get("thread"),
                }  # fmt: skip
                file.write(json.dumps(row) + "\n")
        return SpanExportResult.SUCCESS


provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(InFile()))
trace.set_tracer_provider(provider)

program = Path(__file__).parents[2] / "examples" / "service" / "app.py"
spec = importlib.util.spec_from_file_location("example_service", program)
assert spec is not None
assert spec.loader is not None
service = importlib.util.module_from_spec(spec)
sys.modules["example_service"] = service
spec.loader.exec_module(service)


def look_up(_payload: Any) -> str:
    """Work in a thread, with a span of its own."""
    with trace.get_tracer("library").start_as_current_span("read the archive") as span:
        span.set_attribute("thread", threading.current_thread() is not threading.main_thread())
    return "found"


async def sources(topic: str) -> str:
    """Say where to look: a tool for the model."""
    return f"the archive, under {topic}"


archive = Agent("archive", handler=look_up)
reader = Agent("reader", handler=lambda payload: payload)
survey = SequentialOrchestration(
    name="survey", steps=[reader, ParallelOrchestration(name="both", branches=[archive, reader])]
)


async def guide(payload: Any) -> str:
    """Ask an agent, and a pattern of agents."""
    await archive.ask(payload)
    await survey.execute(payload)
    return str(payload)


async def hold(payload: Any) -> Any:
    """Do half of it, and go on only in another process."""
    with trace.get_tracer("library").start_as_current_span("half"):
        pass
    if not (FOLDER / "held").exists():
        (FOLDER / "held").touch()
        await asyncio.Event().wait()
    return payload


analyst = Agent("analyst", model="openai:gpt-4o-mini", instructions="Look it up.", tools=[sources])

for name, agent in (
    ("guide", Agent("guide", handler=guide)),
    ("holder", Agent("holder", handler=hold)),
    ("analyst", analyst),
):
    service.engine.register_agent(name, agent)
service.engine.register_workflow(
    "tour",
    {
        "name": "tour",
        "steps": [
            {"id": "ask", "agent": "guide"},
            {"id": "think", "agent": "analyst"},
            {"id": "permit", "wait_for": {"signal": "go", "timeout_seconds": 3600}},
            {"id": "again", "agent": "guide", "depends_on": ["permit"]},
        ],
    },
)


@service.app.post("/tours")
async def start_tour() -> dict[str, str]:
    return {"id": await service.engine.start_workflow("tour", "rivers", workflow_id="tour-1")}


service.engine.register_workflow(
    "halt",
    {"name": "halt", "steps": [{"id": "each", "agent": "holder", "for_each": [1, 2]}]},
)


@service.app.post("/halts")
async def start_halt() -> dict[str, str]:
    return {"id": await service.engine.start_workflow("halt", None, workflow_id="halt-1")}


@service.app.post("/tours/go")
async def go_on() -> dict[str, Any]:
    return dict((await service.engine.signal_workflow("tour-1", "go", None)).to_dict())


def answer(request: Any) -> object:
    """Call the tool first, and answer then."""
    if request.tool_names and not request.results:
        return request.call("sources", topic="rivers")
    return "so"


service.offline = answer
signal.signal(signal.SIGTERM, service.end)
uvicorn.run(service.app, host="127.0.0.1", port=PORT, timeout_graceful_shutdown=10)
