"""The systems that can be measured, as data: which plug-in, which suites, and what must be installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from benchmarks.workloads import Suite

Kind = Literal["ours", "floor", "peer"]


@dataclass(frozen=True)
class System:
    """One system: *module* is its plug-in in ``benchmarks/systems``.

    *requirements* are installed into an environment of its own; without any, it runs in that of the harness.
    *outside* says that the work is done by another process than the one that samples it.
    *speed* scales the operations of every workload, so that a slow system takes as long as a fast one.
    """

    name: str
    kind: Kind
    module: str
    suites: tuple[Suite, ...]
    requirements: tuple[str, ...] = ()
    debian: tuple[str, ...] = ()
    speed: float = 1.0
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    note: str = ""
    outside: bool = False


SYSTEMS: tuple[System, ...] = (
    System("ours", "ours", "ours_kernel", ("kernel", "memory"), note="agenticaiframework.actors"),
    System(
        "ours-supervision",
        "ours",
        "ours_supervision",
        ("supervision",),
        note="agenticaiframework.supervision",
    ),
    System(
        "ours-patterns", "ours", "ours_patterns", ("patterns",), note="agenticaiframework.patterns"
    ),
    System(
        "ours-engine", "ours", "ours_engine", ("engine",), note="agenticaiframework.patterns.engine"
    ),
    System(
        "ours-code",
        "ours",
        "ours_code",
        ("engine",),
        note="agenticaiframework.patterns.engine, workflows written as code",
    ),
    System(
        "ours-models",
        "ours",
        "ours_models",
        ("models",),
        note="agenticaiframework.Agent(model=...)",
    ),
    System(
        "floor-pydantic-ai",
        "floor",
        "floor_pydantic_ai",
        ("models",),
        note="pydantic-ai alone, one agent and one client",
    ),
    System("floor-call", "floor", "floor_call", ("kernel",), note="a deque and a call"),
    System(
        "floor-queue",
        "floor",
        "floor_queue",
        ("kernel", "memory"),
        note="cells in one ready queue, plain handlers",
    ),
    System(
        "floor-coroutines",
        "floor",
        "floor_coroutines",
        ("kernel", "supervision"),
        note="coroutines driven in that ready queue",
    ),
    System(
        "floor-tasks", "floor", "floor_tasks", ("kernel", "memory"), note="an asyncio task an actor"
    ),
    System(
        "floor-loop",
        "floor",
        "floor_loop",
        ("kernel",),
        note="an event loop with nothing else on it",
    ),
    System(
        "floor-asyncio",
        "floor",
        "floor_asyncio",
        ("patterns", "engine"),
        note="awaits and asyncio.gather",
    ),
    System(
        "floor-commit",
        "floor",
        "floor_commit",
        ("engine",),
        speed=0.2,
        note="SQLite, one commit a step",
    ),
    System(
        "floor-group-commit",
        "floor",
        "floor_group_commit",
        ("engine",),
        note="SQLite, one commit for all that wait",
    ),
    System(
        "floor-postgres",
        "floor",
        "floor_postgres",
        ("engine",),
        note="PostgreSQL, one commit for all that wait",
    ),
    System(
        "otp",
        "peer",
        "otp",
        ("kernel", "memory", "supervision"),
        debian=("erlang-base",),
        note="Erlang/OTP gen_server and supervisor, as many schedulers as cores",
        outside=True,
    ),
    System(
        "otp-1",
        "peer",
        "otp",
        ("kernel", "supervision"),
        debian=("erlang-base",),
        options={"schedulers": "1"},
        note="Erlang/OTP on one scheduler",
        outside=True,
    ),
    System(
        "pykka",
        "peer",
        "pykka_threads",
        ("kernel", "memory"),
        requirements=("pykka==4.5.0",),
        speed=0.05,
    ),
    System(
        "async-pykka",
        "peer",
        "async_pykka_tasks",
        ("kernel", "memory"),
        requirements=("async-pykka==0.1.4",),
        speed=0.1,
    ),
    System(
        "nigrains",
        "peer",
        "nigrains_grains",
        ("kernel", "memory"),
        requirements=("nigrains>=0.3.1",),
        speed=0.1,
    ),
    System(
        "thespian",
        "peer",
        "thespian_simple",
        ("kernel",),
        requirements=("thespian==4.0.1",),
        speed=0.1,
        note="simple system base",
    ),
    System(
        "xoscar",
        "peer",
        "xoscar_pool",
        ("kernel",),
        requirements=("xoscar==0.12.2",),
        speed=0.02,
        note="main pool only",
    ),
    System(
        "autogen-core",
        "peer",
        "autogen_runtime",
        ("kernel", "patterns"),
        requirements=("autogen-core==0.7.5",),
        speed=0.02,
        note="SingleThreadedAgentRuntime",
    ),
    System(
        "casty",
        "peer",
        "casty_actors",
        ("kernel", "supervision"),
        requirements=("casty==0.30.2",),
        speed=0.1,
    ),
    System(
        "everything-is-an-actor",
        "peer",
        "everything_actors",
        ("kernel", "supervision"),
        requirements=("everything-is-an-actor==0.1.6",),
        speed=0.1,
    ),
    System(
        "burr",
        "peer",
        "burr_graph",
        ("patterns", "engine"),
        requirements=("apache-burr==0.43.0", "aiosqlite==0.22.1", "pydantic>=2"),
        speed=0.2,
    ),
    System(
        "langgraph",
        "peer",
        "langgraph_graph",
        ("patterns", "engine"),
        requirements=("langgraph==1.2.22", "langgraph-checkpoint-sqlite==3.1.2"),
        speed=0.1,
    ),
    System(
        "langgraph-functional",
        "peer",
        "langgraph_functional",
        ("engine",),
        requirements=(
            "langgraph==1.2.22",
            "langgraph-checkpoint-sqlite==3.1.2",
            "langgraph-checkpoint-postgres==3.2.0",
            "psycopg[binary,pool]>=3.2",
        ),
        speed=0.1,
        note="entrypoint and tasks",
    ),
    System(
        "langgraph-agent",
        "peer",
        "langgraph_agent",
        ("models",),
        requirements=(
            "langgraph==1.2.22",
            "langgraph-checkpoint-sqlite==3.1.2",
            "langchain==1.5.2",
            "langchain-openai==1.7.4",
        ),
        note="create_agent of LangChain, on LangGraph",
    ),
    System(
        "openai-agents",
        "peer",
        "openai_agents",
        ("models",),
        requirements=("openai-agents==0.24.0",),
    ),
    System(
        "pydantic-graph",
        "peer",
        "pydantic_graph_run",
        ("patterns", "engine"),
        requirements=("pydantic-graph==2.68.0",),
        speed=0.2,
    ),
    System(
        "agent-framework",
        "peer",
        "agent_framework_workflow",
        ("patterns", "engine"),
        requirements=("agent-framework-core==1.23.0",),
        speed=0.1,
    ),
    System(
        "dbos",
        "peer",
        "dbos_workflow",
        ("engine",),
        requirements=("dbos==3.4.0", "pysqlite3-binary==0.5.4.post2"),
        speed=0.02,
        note="its system database in SQLite, or PostgreSQL",
    ),
)


class UnknownName(Exception):
    """A system, suite or workload was named that does not exist."""

    def __init__(self, what: str, name: str, known: list[str]) -> None:
        near = get_close_matches(name, known, n=3) or known
        super().__init__(f"There is no {what} {name!r}. Perhaps: {', '.join(near)}.")
        self.name = name
        self.known = known


def system_named(name: str) -> System:
    """Return the system called *name*; raise `UnknownName` with near names when there is none."""
    by_name = {system.name: system for system in SYSTEMS}
    if name not in by_name:
        raise UnknownName("system", name, list(by_name))
    return by_name[name]
