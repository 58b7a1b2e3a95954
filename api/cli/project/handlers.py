"""Python functions as agents' handlers, named ``package.module:function`` in a project file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from agenticaiframework.actors import AgenticError, near


class HandlerNotFound(AgenticError, LookupError):
    """A handler that a project file names cannot be found or imported."""

    def __init__(self, agent: str, handler: str, why: str) -> None:
        super().__init__(f"agents.{agent}.handler: {handler!r} {why}")
        self.agent = agent
        self.handler = handler


def find_handler(agent: str, handler: str, folder: Path) -> Callable[[Any], Any]:
    """Return the function that *handler* names; modules in *folder* are found first."""
    module_name, _, function = handler.partition(":")
    try:
        module = _import(module_name, folder)
    except ModuleNotFoundError as error:
        if error.name != module_name and not module_name.startswith(f"{error.name}."):
            raise HandlerNotFound(agent, handler, f"needs the missing {error.name!r}") from error
        raise HandlerNotFound(
            agent,
            handler,
            f"is in no module: there is neither {module_name!r} nor "
            f"{folder / (module_name.replace('.', '/') + '.py')}",
        ) from None
    except Exception as error:
        raise HandlerNotFound(agent, handler, f"cannot be imported: {error!r}") from error
    found: object = getattr(module, function, None)
    if not callable(found):
        functions = [name for name, value in vars(module).items() if callable(value)]
        raise HandlerNotFound(
            agent, handler, f"is not a function there. {near(function, functions)}"
        )
    return cast("Callable[[Any], Any]", found)


def _import(name: str, folder: Path) -> ModuleType:
    """Import *name* from *folder* if it is there, else from the path, leaving `sys.path` as it is."""
    if name in sys.modules:
        return sys.modules[name]
    path = folder / (name.replace(".", "/") + ".py")
    if not path.is_file():
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, path)
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
