"""The house: which rooms each layer has, in which order, and which of them are open to other layers."""

from __future__ import annotations

from library_files import NAME, layer_of

# Deepest first: a room knows those before it. A room is a package, or the files named together.
# The package that holds the rooms re-exports from all of them, and stands above.
ROOMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "actors": (
        ("looks", "log", "reasons", "errors", "expected", "refusals", "messages"),
        ("kernel",),
        ("ref", "inbox", "entries", "registry", "dead_letters", "events"),
        ("dispatch",),
        ("system",),
        ("key_registry",),
        ("actor", "function_actor"),
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
        ("state",),
        ("runner",),
        ("host",),
        ("engine",),
    ),
    "patterns.engine.store": (
        ("errors", "records", "contract"),
        ("grouped",),
        ("memory", "simulated"),
        ("sqlite",),
        ("postgres",),
        ("urls",),
    ),
    # The package itself connects agents to the models, and has what the rooms above it import.
    "": (
        ("models",),
        ("__init__",),
        ("orchestration",),
        ("testing",),
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
