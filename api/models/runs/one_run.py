"""One run of a spec's agent of pydantic-ai: what it is given, and its result. Needs pydantic-ai imported.

Every request goes through here, so what a request does not use is not looked for twice, and adds no
capability, no wrapper and no context.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelMessage
from pydantic_ai.run import AgentRunResult

from agenticaiframework.actors import (
    SESSION,
    WHOLE_RESULT,
    AgentResult,
    Conversation,
    ModelRequest,
    ModelSpec,
    ModelTurn,
    PartSink,
    agent_context,
    model_turn,
    part_sink,
)

from ..content.contents import ReadPayload, read_payload
from ..content.joining import in_turns
from ..content.prompts import UnsendablePayload
from ..metering.spans import instrumentation
from ..metering.spending import metered_model
from ..providers.asker import forget_asker
from ..providers.interposed import interposed
from ..providers.opening import as_it_is, model_here, overridden
from ..tools.scope import InSystem
from .assembly import Assembled, assembled

if TYPE_CHECKING:
    from pydantic_ai.models import Model

NOTHING_ASKED: Final = "nothing is asked, and the agent has no instructions"

GOES_ON: Final = ReadPayload(None)
"""Nothing new: a conversation that others have had goes on with what was said last."""


async def run_once(request: ModelRequest, spec: ModelSpec) -> AgentResult:
    """Return the result of *request* to the agent that was made of *spec*."""
    built = assembled(spec)
    if built.calls or overridden(spec.model) is not None:
        with InSystem():
            return await _run(request, spec, built)
    return await _run(request, spec, built)


async def _run(request: ModelRequest, spec: ModelSpec, built: Assembled) -> AgentResult:
    context = agent_context()
    sink = part_sink() if context else None
    turn = model_turn() if context else None
    given = _given(request, spec, built, sink)
    goes_on = turn is not None and turn.goes_on
    asked = GOES_ON if goes_on else read_payload(request.payload)
    shared = None if turn is None else _take_part(given, turn)
    if shared is not None:
        ran = await _ask(spec, built, given, asked)
        shared.add(ran.new_messages())
    elif spec.history is False or not context.get(SESSION):
        ran = await _ask(spec, built, given, asked)
    else:
        from ..sessions.asking import ask_in_session

        async def ask(history: Sequence[ModelMessage] = ()) -> AgentRunResult[Any]:
            return await _ask(spec, built, given, asked, history)

        # What has been streamed cannot be taken back.
        ran = await ask_in_session(spec, ask, repeatable=sink is None)
    output = ran.output
    if isinstance(output, str) and (built.text_field is not None or not spec.typed):
        if ran.response.finish_reason == "length":
            output = whole_sentences(output)
        output = output.strip()
        if built.text_field is not None:
            output = {built.text_field: output}
    # What it has cost is counted where the requests are sent.
    return AgentResult(
        output, new_messages=tuple(ran.new_messages()) if WHOLE_RESULT in context else ()
    )


async def _ask(
    spec: ModelSpec,
    built: Assembled,
    given: dict[str, Any],
    asked: ReadPayload,
    history: Sequence[ModelMessage] = (),
) -> AgentRunResult[Any]:
    """Run the agent that was built, with the model that answers it here."""
    if history or asked.history:
        given["message_history"] = in_turns([*history, *asked.history])
    if spec.model is None:
        # The agent that was wrapped brings its own model, unless another stands in for it.
        return await _answer(built, given, asked, overridden(None))
    if built.metered is not None and as_it_is(built.metered):
        return await _answer(built, given, asked, built.metered)
    model, clients = await model_here(spec.model, spec.fallback_models)
    try:
        return await _answer(built, given, asked, metered_model(model))
    finally:
        forget_asker()
        if clients is not None:
            await clients.close()


async def _answer(
    built: Assembled, given: dict[str, Any], asked: ReadPayload, model: Model | None
) -> AgentRunResult[Any]:
    if asked is GOES_ON or not asked.asks_nothing:
        return await built.agent.run(asked.content, model=model, infer_name=False, **given)
    try:
        ran = await built.agent.run(None, model=model, infer_name=False, **given)
    except UserError as error:
        if "instructions provided" not in str(error):
            raise
        raise UnsendablePayload(None, NOTHING_ASKED) from error
    if not any(message.kind == "response" for message in ran.new_messages()):
        # In a session pydantic-ai gives the last answer again, and asks nothing.
        raise UnsendablePayload(None, NOTHING_ASKED)
    return ran


def _given(
    request: ModelRequest, spec: ModelSpec, built: Assembled, sink: PartSink | None
) -> dict[str, Any]:
    """Return what a run is given beside its prompt and its model."""
    given: dict[str, Any] = {
        "deps": spec.deps,
        "usage_limits": built.limits,
        **built.per_run,
    }
    if agent_context().journal is not None:
        from ..durability.durable import Durable

        # Inside of the agent's own: what they do with an answer is done again with a recorded one.
        _add(given, Durable())
    if sink is not None:
        from .streaming import StreamedParts

        given["event_stream_handler"] = StreamedParts(sink).handle
    for spans in instrumentation(spec):
        _add(given, spans)
    beneath = interposed(request.agent)
    if beneath is not None:
        _add(given, beneath)
    return given


def _add(given: dict[str, Any], capability: Any) -> None:
    given["capabilities"] = [*given.get("capabilities", ()), capability]


def _take_part(given: dict[str, Any], turn: ModelTurn) -> Conversation | None:
    """Add to what a run is *given* what *turn* has for it; return the conversation that it is part of."""
    from ..content.turns import KeptState, history_of

    state = turn.state
    if state is not None and given["deps"] is None:
        given["deps"] = state.value
        if agent_context().journal is not None:
            _add(given, KeptState(state))
    history = history_of(turn)
    if history is not None:
        given["message_history"] = in_turns(history)
    return turn.conversation


_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s|\Z)")


def whole_sentences(text: str) -> str:
    """Return *text* without the unfinished sentence at its end, if most of it remains.

    >>> whole_sentences("Rivers bend. They do so because the")
    'Rivers bend.'
    """
    ends = [found.end() for found in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends and 3 * ends[-1] > len(text) else text


__all__ = ["run_once", "whole_sentences"]
