"""Python objects that a project file names, ``package.module:name``: handlers, tools, types, checks."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol

from agenticaiframework.actors import AgenticError, near_names

from .sources import find_file, read_names


class HandlerNotFound(AgenticError, LookupError):
    """A function, or another object, that a project file names cannot be found, imported or used.

    *field* is the one of the agent that names it.
    """

    def __init__(self, agent: str, handler: str, why: str, field: str = "handler") -> None:
        super().__init__(f"agents.{agent}.{field}: {handler!r} {why}")
        self.agent = agent
        self.handler = handler
        self.field = field


class AgentRefused(AgenticError, ValueError):
    """What a project file says of an agent cannot be an agent."""

    def __init__(self, agent: str, error: Exception) -> None:
        super().__init__(f"agents.{agent}: {error}")
        self.agent = agent


Handler = Callable[[Any], Any]


class Find(Protocol):
    """Given an agent and what one of its *field*s names, returns that; raises `HandlerNotFound`."""

    def __call__(self, agent: str, named: str, field: str = "handler") -> Any: ...


class Handlers:
    """The functions that a project may name: in its *folder*, and in the *packages* that its file names."""

    def __init__(self, folder: Path, packages: Sequence[str]) -> None:
        self._folder = folder
        self._packages = packages

    def load(self, agent: str, named: str, field: str = "handler") -> Any:
        """Return the object that *named* names; imports its module."""
        module_name, names, file = self._find(agent, named, field)
        try:
            module = _import(module_name, file, self._folder)
        except ModuleNotFoundError as error:
            why = f"needs the missing {error.name!r}"
            raise HandlerNotFound(agent, named, why, field) from error
        except Exception as error:
            why = f"cannot be imported: {error!r}"
            raise HandlerNotFound(agent, named, why, field) from error
        except SystemExit as error:
            why = f"cannot be imported: it ends the program with {error.code!r}"
            raise HandlerNotFound(agent, named, why, field) from error
        found: object = module
        for name in names.split("."):
            if not hasattr(found, name):
                raise _nothing(agent, named, field, name, _public(found))
            found = getattr(found, name)
        return found

    def look_up(self, agent: str, named: str, field: str = "handler") -> Any:
        """Return a function in the place of what *named* names, which is there; runs nothing."""
        _, names, file = self._find(agent, named, field)
        try:
            source = read_names(file)
        except (SyntaxError, OSError, ValueError, RecursionError) as error:
            raise HandlerNotFound(agent, named, f"cannot be read: {error}", field) from None
        name = names.partition(".")[0]
        if name not in source.names and source.complete:
            raise _nothing(agent, named, field, name, source.names)
        return _asynchronous if source.names.get(name) else _blocking

    def _find(self, agent: str, named: str, field: str) -> tuple[str, str, Path]:
        """Return the module's name, the object's in it, and the module's file."""
        module_name, _, name = named.partition(":")
        file = find_file(module_name, self._folder, self._packages)
        if file is None:
            top = module_name.partition(".")[0]
            place = self._folder / (module_name.replace(".", "/") + ".py")
            why = f"is in no module: there is no {place}"
            if top not in self._packages:
                why += (
                    f". If {top!r} is an installed package whose functions the project is to use, name "
                    f"it in the file: packages: [{top}]"
                )
            raise HandlerNotFound(agent, named, why, field)
        return module_name, name, file


_KINDS: Final = {"output_type": "a class", "history": "a history", "guardrails": "a check"}


def _nothing(
    agent: str, named: str, field: str, name: str, known: Iterable[str]
) -> HandlerNotFound:
    kind = _KINDS.get(field, "a function")
    return HandlerNotFound(agent, named, f"is not {kind} there. {near_names(name, known)}", field)


def _public(module: object) -> list[str]:
    names: dict[str, object] = vars(module)
    return [
        name
        for name, value in names.items()
        if name[:1] != "_" and not isinstance(value, ModuleType)
    ]


async def _asynchronous(payload: Any) -> Any:
    return payload


def _blocking(payload: Any) -> Any:
    return payload


def _import(name: str, file: Path, folder: Path) -> ModuleType:
    """Import the module *name*, which is in *file*, leaving `sys.path` as it is."""
    if name in sys.modules:
        return sys.modules[name]
    if not file.is_relative_to(folder):
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
