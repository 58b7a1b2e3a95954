"""The fields that settings and limits have in pydantic-ai, as far as they can be told here."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agenticaiframework.actors import near_names


@dataclass(frozen=True, slots=True)
class Fields:
    """A class of pydantic-ai's, read from its source: importing it would take a second."""

    module: str
    name: str
    prefixed: bool = False
    """Whether providers add fields of their own, whose names begin with the provider's."""


SETTINGS: Final = Fields("settings.py", "ModelSettings", prefixed=True)
LIMITS: Final = Fields("usage.py", "UsageLimits")

_PROVIDERS: Final = (
    *("anthropic", "azure", "bedrock", "cerebras", "cohere", "deepseek", "gemini", "google"),
    *("groq", "huggingface", "mistral", "ollama", "openai", "openrouter", "xai"),
)


def check_fields(given: Mapping[str, Any], of: Fields) -> None:
    """Raise ValueError for a name in *given* that *of* does not have, with the nearest that it has.

    Where pydantic-ai is not installed, nothing is known and nothing is refused.
    """
    known = _known(of)
    if known:
        check_names([name for name in given if not (of.prefixed and _of_provider(name))], known)


def check_names(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValueError for a name in *given* that is not *known*, with the nearest that is."""
    names = tuple(known)
    for name in given:
        if name not in names:
            raise ValueError(f"unknown field {name!r}. {near_names(name, names)}")


def _of_provider(name: str) -> bool:
    return name.partition("_")[0] in _PROVIDERS


@functools.cache
def _known(of: Fields) -> tuple[str, ...]:
    spec = importlib.util.find_spec("pydantic_ai")
    places = () if spec is None else spec.submodule_search_locations or ()
    for place in places:
        file = Path(place) / of.module
        if file.is_file():
            return tuple(_fields(ast.parse(file.read_bytes()).body, of.name))
    return ()


def _fields(body: Iterable[ast.stmt], name: str) -> Iterable[str]:
    for statement in body:
        if isinstance(statement, ast.ClassDef) and statement.name == name:
            for each in statement.body:
                target = each.target if isinstance(each, ast.AnnAssign) else None
                if isinstance(target, ast.Name) and not target.id.startswith("_"):
                    yield target.id
