"""A request to a model within a session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import SESSION, ActorSystem, ModelSpec, agent_context, standing_here

from .history import as_history
from .home import session_home
from .turns import one_turn

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.run import AgentRunResult

__all__ = ["ask_in_session"]


async def ask_in_session(
    spec: ModelSpec,
    ask: Callable[[Sequence[ModelMessage]], Awaitable[AgentRunResult[Any]]],
    *,
    repeatable: bool,
) -> AgentRunResult[Any]:
    """Return what *ask* returns for the messages of the session that the running handler is in."""
    history = as_history(spec.agent, spec.history)
    if history is None:
        return await ask(())
    home = session_home(ActorSystem.current())
    if not history.keep_on_restart:
        await home.begin(spec.agent, history, standing_here())
    session: str = agent_context()[SESSION]
    return await one_turn(home, history, spec.agent, session, ask, repeatable=repeatable)
