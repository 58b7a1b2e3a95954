"""Model agents without a model: a function answers in its place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from agenticaiframework.actors import ModelRequest, override_model_runner
from agenticaiframework.models.providers.opening import model_override
from agenticaiframework.models.runs.scripted import run_script
from agenticaiframework.models.scripted.script import ScriptedRequest, as_script

if TYPE_CHECKING:
    from pydantic_ai.models import Model

Script: TypeAlias = Callable[[str, Any], Any | Awaitable[Any]] | Callable[[ScriptedRequest], Any]


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
        self._script = as_script(script)
        self._removes: tuple[Callable[[], None], ...] = ()

    def install(self) -> ScriptedModel:
        """Answer every model agent from now on; return itself. Harmless when it does already."""
        if not self._removes:
            self._removes = override_model_runner(self._run), model_override(self._choose)
        return self

    def uninstall(self) -> None:
        """Let the models answer again. Harmless when they do already."""
        removes, self._removes = self._removes, ()
        for remove in removes:
            remove()

    def __enter__(self) -> ScriptedModel:
        return self.install()

    def __exit__(self, *_: object) -> None:
        self.uninstall()

    async def _run(self, request: ModelRequest) -> Any:
        return await run_script(request, self._script)

    def _choose(self, model: object) -> Model:
        from agenticaiframework.models.scripted.chat import ScriptedChat

        return ScriptedChat(self._script, model)


def scripted_model(script: Script) -> ScriptedModel:
    """Return the model whose every answer is ``script(agent_name, payload)``, plain or async.

    A function of one parameter gets the whole request: instructions, tools, schema, history, session and
    more (see `ScriptedRequest`). It answers with a text, with an object that fits the schema, with calls
    of tools (``request.call("search", query="rivers")``), with a list of these, with a `Scripted` that
    has the usage too, or as a generator of parts. Where pydantic-ai is installed, all else is real: tools
    run, sessions are kept, usage is counted. A plain function runs on the event loop, so that tests stay
    deterministic: it must not block. What it raises is raised in the agent, as a failing model's error
    would be.

    >>> with scripted_model(lambda agent, payload: f"{agent} saw {payload}"):
    ...     pass  # every Agent(model=...) asked in here is answered by the function
    """
    return ScriptedModel(script)
