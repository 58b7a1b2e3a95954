"""Makes the gallery of examples: `docs/gallery.md`, and its pictures in `docs/pictures/gallery`.

    python docs/pictures/gallery.py

The programs are those in `examples/gallery`; what each prints stands in its docstring, which a test holds.
The pictures are drawn from what the programs are made of: the library's own charts of teams, patterns,
supervisors and workflows, and for workflows that are code the way that a run of it took.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib.util
import io
import sys
import textwrap
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from agenticaiframework import Agent
from agenticaiframework.orchestration import AgentSupervisor, OrchestrationEngine, define_workflow
from agenticaiframework.testing import scripted_model

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "examples" / "gallery"
PAGE = ROOT / "docs" / "gallery.md"
PICTURES = ROOT / "docs" / "pictures" / "gallery"

sys.path.insert(0, str(Path(__file__).parent))
from flowchart import chart_of, draw  # noqa: E402


@dataclass(frozen=True)
class Entry:
    """One program: its file, its title, whose program it is, what to look at, and its charts."""

    file: str
    title: str
    known: str
    look: str
    charts: Callable[[ModuleType], dict[str, str]]

    @property
    def path(self) -> Path:
        return PROGRAMS / self.file


def load(path: Path) -> ModuleType:
    """Return the program as a module, without running its main part."""
    spec = importlib.util.spec_from_file_location(f"gallery_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


# Charts of what a program is made of


def tools_of(agents: list[Agent]) -> Iterator[tuple[str, str, str]]:
    """Yield an edge for each tool of each agent."""
    for agent in agents:
        spec = agent.model_spec
        for tool in spec.tools if spec else ():
            named = getattr(tool, "what", tool)
            is_agent = isinstance(named, Agent)
            name = named.name if is_agent else f"{named.__name__}()"
            asks_first = getattr(tool, "requires_approval", False)
            yield agent.name, name, "asks first" if asks_first else "calls"


def desk(supervisor: AgentSupervisor, agents: list[Agent]) -> str:
    """Return the chart of a supervisor's children and their tools."""
    children = [(supervisor.name, child.name, "") for child in supervisor.tree().children]
    return chart_of([*children, *tools_of(agents)])


def tree(supervisor: AgentSupervisor) -> str:
    """Return the chart of a supervisor that runs."""

    async def running() -> str:
        async with supervisor:
            return supervisor.tree().mermaid()

    return asyncio.run(running())


# The way of a run


async def steps_of(engine: OrchestrationEngine, run_id: str) -> AsyncIterator[tuple[str, str]]:
    async for event in engine.stream(run_id):
        if event.step and event.kind in ("step_started", "step_waiting", "step_completed"):
            yield str(event.kind), event.step


def way_of(events: list[tuple[str, str]]) -> str:
    """Return the chart of a run: what came after what, with what comes again drawn once.

    What runs at the same time comes after the same things.
    """
    counts: Counter[str] = Counter()
    waits: set[str] = set()
    edges: dict[tuple[str, str], None] = {}
    ended: list[str] = ["(start)"]
    joined: set[str] = set()
    for kind, step in events:
        name = step.split("#")[0].rsplit(".", 1)[-1]
        if kind == "step_completed":
            # What has been followed already is behind what follows it.
            ended = [each for each in ended if each not in joined]
            joined = set()
            ended.append(name)
            continue
        if kind == "step_waiting":
            waits.add(name)
        counts[name] += 1
        edges.update(dict.fromkeys((before, name) for before in ended))
        joined.update(ended)
    edges.update(dict.fromkeys((last, "(end)") for last in ended))

    def shown(name: str) -> str:
        if name.startswith("("):
            return name
        times = f" x {counts[name]}" if counts[name] > 1 else ""
        return f"{name}{times}"

    chart = chart_of((shown(a), shown(b), "") for a, b in edges if a != b)
    for name in waits:  # a wait is drawn as one
        chart = chart.replace(f'["{shown(name)}"]', f'(["{shown(name)}"])')
    return chart


def run_of(
    module: ModuleType, workflow: Any, given: Any = None, signals: tuple[tuple[str, Any], ...] = ()
) -> str:
    """Return the chart of a run of *workflow*, which is sent *signals*."""

    async def run() -> str:
        async with OrchestrationEngine() as engine:
            run_id = await engine.start_workflow(workflow, given)
            for name, payload in signals:
                await engine.signal_workflow(run_id, name, payload)
            return way_of([step async for step in steps_of(engine, run_id)])

    with scripted_model(module.script), contextlib.redirect_stdout(io.StringIO()):
        return asyncio.run(run())


def of_travel(module: ModuleType) -> dict[str, str]:
    signals = (
        ("prompt", "fly me to Sydney"),
        ("confirm", True),
        ("prompt", "send an invoice"),
        ("confirm", True),
        ("prompt", "thanks"),
    )
    # Its tools look at the argument that says which of the two processes this is.
    before, sys.argv[1:] = sys.argv[1:], ["second"]
    try:
        return {"": run_of(module, module.travel, None, signals)}
    finally:
        sys.argv[1:] = before


BROWSER = [
    ("(browser)", "FastAPI", "a question"),
    ("FastAPI", "pattern answer", ""),
    ("FastAPI", "workflow answer", ""),
    ("FastAPI", "writer", ""),
    ("pattern answer", "writer", ""),
    ("workflow answer", "writer", ""),
]

ENTRIES = [
    Entry(
        "01_assistant.py",
        "An assistant with a tool and a memory",
        "LangGraph's ReAct agent",
        "A tool is a typed function. A session is a name, given to `ask`. The supervisor is three lines.",
        lambda m: {"": desk(m.desk, [m.assistant])},
    ),
    Entry(
        "02_tokens_to_browser.py",
        "Tokens to the browser",
        "streaming with FastAPI",
        "An agent, a pattern and a workflow stream in the same way, and the model stops when the reader leaves.",
        lambda m: {"": chart_of(BROWSER)},
    ),
    Entry(
        "03_plan_and_execute.py",
        "Plan, execute, plan again",
        "LangGraph's plan-and-execute",
        "The loop is a `for` in an `async` function. The answer is one of two types, told apart by `isinstance`.",
        lambda m: {"": run_of(m, m.research, "the hometown of the 2024 winner?")},
    ),
    Entry(
        "04_review_tool_calls.py",
        "A person looks at each call of a tool",
        "LangGraph's human in the loop",
        "The run waits in the store, not in a process: the first process is killed, the second one goes on.",
        lambda m: {
            "": chart_of(
                [
                    *tools_of([m.assistant]),
                    ("(a person)", "weather_search()", "approves, changes, refuses"),
                ]
            )
        },
    ),
    Entry(
        "05_jokes.py",
        "As many at once as there are",
        "LangGraph's map-reduce",
        "One agent tells all the jokes, at the same time: an agent with a model handles 32 requests at once.",
        lambda m: {"": run_of(m, m.best_joke, "animals")},
    ),
    Entry(
        "06_refund_swarm.py",
        "A swarm that refunds a flight",
        "AutoGen's swarm",
        "Each role may hand over to each other role, and to the user: the team waits then, under its session.",
        lambda m: {"": m.team.mermaid()},
    ),
    Entry(
        "07_write_and_judge.py",
        "Write, judge, write again",
        "AutoGen's reflection, CrewAI's flows",
        "The verdict is typed. A draft that is never accepted is an error that has the draft and the feedback.",
        lambda m: {"": m.post(m.critic).mermaid(), "events": m.magazine.mermaid()},
    ),
    Entry(
        "08_flight_and_seat.py",
        "A flight and a seat, under one budget",
        "pydantic-ai's flight booking",
        "An agent is a tool of another one. `metered` holds one limit over all that is asked inside it.",
        lambda m: {"": desk(m.desk, [m.search, m.extractor])},
    ),
    Entry(
        "09_airline_service.py",
        "Customer service of an airline",
        "the OpenAI Agents SDK's example",
        "Handoffs have a hook. The guardrail runs beside the answer, and stops it before it is paid for.",
        lambda m: {"": m.service(":memory:").mermaid()},
    ),
    Entry(
        "10_durable_travel.py",
        "A travel agent that survives anything",
        "Temporal's durable agent",
        "Every call on `run` is recorded. After SIGKILL the code runs again from the top, and nothing twice.",
        of_travel,
    ),
    Entry(
        "11_back_in_time.py",
        "Back in time",
        "LangGraph's time travel",
        "The journal of a run is its history: `stream` reads it, `retry_from` and `fork` go on from any step.",
        lambda m: {"": define_workflow(m.JOKE).to_mermaid("LR")},
    ),
    Entry(
        "12_worker_pool.py",
        "A pool of workers that may crash",
        "Elixir's task supervisor",
        "An error stands in the place of its item. The worker that crashed is back, as the tree says.",
        lambda m: {"": tree(m.pool)},
    ),
    Entry(
        "13_manager_with_ledger.py",
        "A manager with a ledger",
        "AutoGen's Magentic-One",
        "The plan waits for its review across processes; afterwards the rounds alone run once more.",
        lambda m: {
            "": run_of(m, m.brief, "Draft a brief", (("review", {"ok": True}),)),
        },
    ),
]

INTRODUCTION = """# Gallery

Programs that users of other frameworks know, each written anew as one file in the library's own way.
Each runs offline and without a key: a function stands in for the hosted models (`scripted_model`), and without that one line they answer.
A test runs each of them and compares what it prints.

```sh
pip install ".[llm]"    # and for tokens to the browser: fastapi, uvicorn, httpx
python examples/gallery/01_assistant.py
```

More programs stand in [`examples/`](../examples/README.md): a researcher, a triage with guardrails, a coder with a critic, a refund that survives SIGKILL, a map-reduce under a budget, and a whole service.
How programs look in another framework and here, side by side, is shown in [moving here](migrate/index.md).
"""


def pictures(entry: Entry) -> dict[str, str]:
    """Return the pictures of a program by their files' names."""
    charts = entry.charts(load(entry.path))
    stem = entry.path.stem
    return {
        f"{stem}-{part}.svg" if part else f"{stem}.svg": draw(chart, entry.title)
        for part, chart in charts.items()
    }


def section(entry: Entry, names: list[str]) -> str:
    """Return the part of the page about one program."""
    source = entry.path.read_text("utf-8")
    documented = ast.get_docstring(ast.parse(source), clean=True) or ""
    printed = textwrap.dedent(documented.split(f"{entry.file}\n\n", 1)[1]).strip()
    code = source.split('"""\n\n', 1)[1].strip()
    shown = "\n".join(f"![{entry.title}, drawn](pictures/gallery/{name})" for name in names)
    return f"""## {entry.title}

Known as {entry.known}. {entry.look}

{shown}

```text
{printed}
```

<details markdown="1">
<summary>examples/gallery/{entry.file}</summary>

```python
{code}
```

</details>
"""


def page(drawn: dict[str, list[str]]) -> str:
    """Return the page, given the names of each program's pictures."""
    index = "\n".join(
        f"- [{entry.title}](#{anchor(entry.title)}) ({entry.known})" for entry in ENTRIES
    )
    sections = [section(entry, drawn[entry.file]) for entry in ENTRIES]
    return "\n".join([INTRODUCTION, index, "", *sections])


def anchor(title: str) -> str:
    """Return what a heading is linked by."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c == "-")


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    drawn: dict[str, list[str]] = {}
    for entry in ENTRIES:
        made = pictures(entry)
        drawn[entry.file] = list(made)
        for name, picture in made.items():
            (PICTURES / name).write_text(picture, "utf-8")
            print(f"{entry.file}: {name}")
    PAGE.write_text(page(drawn), "utf-8")


if __name__ == "__main__":
    main()
