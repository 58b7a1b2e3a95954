"""The public names of the library, and where each has its entry in the reference."""

from __future__ import annotations

import importlib
import inspect
from functools import cache
from typing import Any

ROOT = "agenticaiframework"

# In the order in which a name is looked for: its entry stands with the first that exports it.
MODULES = (
    f"{ROOT}.actors",
    f"{ROOT}.actors.simulation",
    f"{ROOT}.supervision",
    f"{ROOT}.patterns.teams",
    f"{ROOT}.patterns.resilience",
    f"{ROOT}.patterns.engine.store",
    f"{ROOT}.patterns.engine",
    f"{ROOT}.patterns",
    f"{ROOT}.models",
    f"{ROOT}.health",
    f"{ROOT}.logs",
    f"{ROOT}.metrics",
    f"{ROOT}.observer",
    f"{ROOT}.terminal",
    f"{ROOT}.faces",
    f"{ROOT}.testing.strategies",
    f"{ROOT}.testing",
    f"{ROOT}.orchestration",
    ROOT,
)

# Packages beside these whose names are not for users.
INNER = {f"{ROOT}.access", f"{ROOT}.cli"}


@cache
def exported(module: str) -> dict[str, Any]:
    """Return what *module* exports, by name."""
    loaded = importlib.import_module(module)
    return {name: getattr(loaded, name) for name in sorted(loaded.__all__)}


@cache
def homes() -> dict[str, str]:
    """Return for each public name the module with which its entry stands."""
    found: dict[str, str] = {}
    for module in MODULES:
        for name in exported(module):
            found.setdefault(name, module)
    return found


def is_error(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, BaseException)


def page_of(module: str) -> str:
    """Return the name of a module's page: ``patterns.engine`` for ``agenticaiframework.patterns.engine``."""
    return module.removeprefix(f"{ROOT}.")


def first_line(value: object) -> str:
    """Return the first sentence of a docstring, for a table."""
    text = inspect.getdoc(value) or ""
    if inspect.isclass(value) and value.__doc__ is None:
        text = ""
    return " ".join(text.partition("\n\n")[0].split()).removesuffix("::")
