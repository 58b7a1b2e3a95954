"""Model agents without a model: a function answers in its place."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, cast

from agenticaiframework.actors import ModelRequest, override_model_runner

Script: TypeAlias = Callable[[str, Any], Any | Awaitable[Any]]


class ScriptedModel:
    """The answers of a function, put in the place of every model of the process.

    It lasts for a ``with`` block, or from `install` to `uninstall`. Of several the latest wins.
    Agents that are asked meanwhile are answered by it, in whatever system, loop or thread.
    """

    def __init__(self, script: Script) -> None:
        if not callable(script):
            raise TypeError(
                f"scripted_model needs a function of (agent_name, payload), not {script!r}. "
                "Form that works: scripted_model(lambda agent, payload: {'result': 'ok'})"
            )
        self._script = script
        self._remove: Callable[[], None] | None = None

    def install(self) -> ScriptedModel:
        """Answer every model agent from now on; return itself. Harmless when it does already."""
        if self._remove is None:
            self._remove = override_model_runner(self._run)
        return self

    def uninstall(self) -> None:
        """Let the models answer again. Harmless when they do already."""
        remove, self._remove = self._remove, None
        if remove is not None:
            remove()

    def __enter__(self) -> ScriptedModel:
        return self.install()

    def __exit__(self, *_: object) -> None:
        self.uninstall()

    async def _run(self, request: ModelRequest) -> str | Mapping[str, Any]:
        answer = self._script(request.agent, request.payload)
        if inspect.isawaitable(answer):
            answer = await answer
        return cast("str | Mapping[str, Any]", answer)


def scripted_model(script: Script) -> ScriptedModel:
    """Return the model whose every answer is ``script(agent_name, payload)``, plain or async.

    A plain function runs on the event loop, so that tests stay deterministic: it must not block.
    What it raises is raised in the agent, as a failing model's error would be.

    >>> with scripted_model(lambda agent, payload: f"{agent} saw {payload}"):
    ...     pass  # every Agent(model=...) asked in here is answered by the function
    """
    return ScriptedModel(script)
