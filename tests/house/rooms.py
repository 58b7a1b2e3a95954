"""The house: which rooms each layer has, in which order, and which of them are open to other layers."""

from __future__ import annotations

from library_files import NAME, layer_of

# Deepest first: a room knows those before it. A room is a package, or the files named together.
# The package that holds the rooms re-exports from all of them, and stands above.
ROOMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "actors": (
        (
            "looks",
            "printable",
            "as_data",
            "as_html",
            "secrets",
            "reasons",
            "tracebacks",
            "storms",
            "log",
            "errors",
            "function_exits",
            "wrong_calls",
            "one_package",
            "expected",
            "refusals",
            "messages",
        ),
        ("kernel",),
        ("ref", "inbox", "entries", "registry", "dead_letters", "events"),
        ("dispatch",),
        ("system",),
        ("key_registry",),
        ("actor", "function_actor"),
        ("cluster",),
        ("ray_cluster",),
        ("agents",),
        ("simulation",),
    ),
    "supervision": (
        ("vocabulary",),
        ("policy",),
        ("machine",),
        ("supervisors",),
    ),
    "patterns": (
        ("vocabulary",),
        ("expressions",),
        ("definition",),
        ("execution",),
        ("kinds",),
        ("resilience",),
        ("teams",),
        ("engine",),
    ),
    "patterns.engine": (
        ("errors",),
        ("store",),
        ("definition",),
        ("code",),
        ("state",),
        ("runner",),
        ("host",),
        ("registering",),
        ("scheduling",),
        ("engine",),
    ),
    "patterns.engine.store": (
        (
            "url_parts",
            "errors",
            "info",
            "queues",
            "records",
            "reading",
            "contract",
            "schedules",
            "sessions",
        ),
        ("grouped",),
        ("memory", "memory_queues", "memory_schedules", "memory_sessions"),
        ("simulated_queues", "simulated_schedules", "simulated_sessions", "simulated"),
        ("sqlite",),
        ("postgres",),
        ("urls",),
        ("administration",),
    ),
    "patterns.engine.code": (
        ("errors", "forms", "returns", "host"),
        ("plan",),
        ("branches",),
        ("call",),
        ("run",),
        ("workflow",),
    ),
    "models": (
        ("content",),
        ("local",),
        ("metering",),
        ("scripted",),
        ("providers",),
        ("tools",),
        ("sessions",),
        ("durability",),
        ("foreign", "adapting"),
        ("checking",),
        ("runs",),
    ),
    # The package itself connects agents to the models, and has what the rooms above it import.
    "": (
        ("models",),
        ("orchestration",),
        ("__init__",),
        ("metrics",),
        ("logs",),
        ("testing",),
        ("access",),
        ("observer",),
        ("terminal",),
        ("health",),
        ("faces",),
        ("cli",),
        ("__main__",),
    ),
}

# What another layer may import of one: these packages, and what they export.
PUBLISHED = (
    NAME,
    "agenticaiframework.actors",
    "agenticaiframework.actors.simulation",
    "agenticaiframework.supervision",
    "agenticaiframework.patterns",
    "agenticaiframework.patterns.teams",
    "agenticaiframework.patterns.resilience",
    "agenticaiframework.patterns.engine",
    "agenticaiframework.patterns.engine.store",
)


def room_of(module: str, holder: str) -> str | None:
    """Return the first part of a module's name within *holder*; None for the holder, and outside."""
    if not holder and module == NAME:
        return "__init__"
    prefix = f"{NAME}.{holder}." if holder else f"{NAME}."
    if not module.startswith(prefix) or (not holder and layer_of(module) != NAME):
        return None
    return module.removeprefix(prefix).partition(".")[0]
