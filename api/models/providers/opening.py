"""From what an agent was given as its model to what answers its requests.

The clients of a system are on its loop (`clients`). Elsewhere, as in a handler that runs on a loop of
its own, a client serves one request and is closed after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from agenticaiframework.actors import ActorSystem

from .asker import note_asker
from .interposed import is_interposed, wrapped_beneath
from .names import UnknownModel, read_model_name
from .settings import is_set

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from .clients import Clients
    from .guarded import GuardedModel

_overrides: tuple[tuple[object, Callable[[object], Model | None]], ...] = ()


def model_override(choose: Callable[[object], Model | None]) -> Callable[[], None]:
    """Let *choose* give the model object in place of every model; return the call that ends this.

    It is called with the model that an agent was given, and returns None to leave that in place. The
    latest wins; they may end in any order.
    """
    global _overrides
    token = object()
    _overrides = (*_overrides, (token, choose))

    def remove() -> None:
        global _overrides
        _overrides = tuple(entry for entry in _overrides if entry[0] is not token)

    return remove


def overridden(model: object) -> Model | None:
    """Return the object that stands in for *model*; None if nothing does. *model* is None for an agent
    of pydantic-ai that brings its own.
    """
    for _, choose in reversed(_overrides):
        chosen: Any = choose(model)
        if chosen is not None:
            return cast("Model", chosen)
    return None


async def open_model(
    model: object, system: ActorSystem, fallback_models: Sequence[object] = ()
) -> Model:
    """Return what answers *model*, a name or a model object, on the loop of *system*.

    Called in the handler, for each request: it is where the asker's time limit is seen. With
    *fallback_models* the next one is asked where one does not answer; each is opened when it is
    needed. Raises `UnknownModel` for what cannot be a model. What was opened is closed with the system.
    """
    from .clients import Clients

    note_asker()
    return await _opened(model, Clients.of(system), fallback_models)


def _scripted(model: str) -> Model:
    from ..scripted.chat import ScriptedChat
    from ..scripted.fixed_answers import scripted_answer

    return ScriptedChat(scripted_answer, model)


async def model_here(
    model: object, fallback_models: Sequence[object] = ()
) -> tuple[Model, Clients | None]:
    """Return the model object for one request, from where it is made, and what to close after it."""
    system = ActorSystem.current_or_none()
    if system is not None and system.loop is asyncio.get_running_loop():
        return await open_model(model, system, fallback_models), None
    from .clients import Clients

    note_asker()
    clients = Clients(limits=system)
    try:
        return await _opened(model, clients, fallback_models), clients
    except BaseException:
        await clients.close()
        raise


def as_it_is(model: Model) -> bool:
    """Tell whether *model*, an object that an agent was given alone, is asked without more ado."""
    return not _overrides and not is_interposed() and not is_set(model.system)


async def _opened(model: object, clients: Clients, fallback_models: Sequence[object] = ()) -> Model:
    if not fallback_models:
        return await _open(model, clients, alone=True)
    return await _with_fallbacks((model, *fallback_models), clients)


async def _with_fallbacks(models: Sequence[object], clients: Clients) -> Model:
    from .fallbacks import Candidate, FallbackModels

    for model in models:
        if isinstance(model, str) and overridden(model) is None:
            read_model_name(model)  # a misspelt one is found now, and not in an outage
    return await FallbackModels.of(
        [Candidate(_name_of(model), partial(_guarded, model, clients)) for model in models]
    )


async def _open(model: object, clients: Clients, *, alone: bool = False) -> Model:
    """Return *model*, guarded; *alone* and an object, as it is, if nothing is set for its provider."""
    from pydantic_ai.models import Model, infer_model

    chosen = overridden(model)
    if chosen is None and isinstance(model, str) and model.strip() == "scripted":
        chosen = _scripted(model)
    if chosen is not None:
        return clients.stand_in(wrapped_beneath(chosen), model)
    given: Any = infer_model("test") if model == "test" else model
    if isinstance(given, Model):
        given = wrapped_beneath(cast("Model", given))
        as_it_is = alone and not is_set(given.system)
        return cast("Model", given) if as_it_is else clients.given(cast("Model", given))
    if not isinstance(given, str):
        raise UnknownModel(model)
    return await clients.model(read_model_name(given))


async def _guarded(model: object, clients: Clients) -> GuardedModel:
    return cast("GuardedModel", await _open(model, clients))


def _name_of(model: object) -> str:
    return model if isinstance(model, str) else str(getattr(model, "model_id", model))
