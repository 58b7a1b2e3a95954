"""The handler of an agent with guardrails: what it is asked and what it answers is checked."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar, cast

from ..function_exits import contained
from ..log import Log
from ..looks import attribute_of, shown
from .agent_context import RUNTIME, SESSION, agent_context, extend_agent_context
from .agent_result import AgentResult
from .errors import AgentDefinitionError
from .generators import drain
from .guardrails import (
    Guardrail,
    GuardrailTripped,
    GuardrailVerdict,
    Judgement,
    Repair,
    RepairWanted,
    Replace,
    Stop,
    judgement_from_data,
    judgement_to_data,
    read_judgement,
)
from .inner_steps import call_step
from .model_turn import MODEL_TURN, ModelTurn, TurnShape
from .parts import CHUNKS, NoSink, PartSink, TextDelta, ThinkingDelta, part_sink

GUARDED: Final = f"{RUNTIME}guarded"
"""Where the context of a request has its `GuardedRequest`, while that is checked."""

T = TypeVar("T")

_VERDICT: Final = TurnShape(output_type=GuardrailVerdict)


class Guards:
    """The guardrails of one agent or team, and the checks that they make. Immutable."""

    def __init__(self, owner: str, guardrails: Sequence[Guardrail]) -> None:
        self._owner = owner
        self._before = [g for g in guardrails if g.when == "before"]
        self.beside = [g for g in guardrails if g.when == "beside"]
        self.after = [g for g in guardrails if g.when == "after"]
        self.any = bool(guardrails)

    async def check_request(self, payload: Any) -> Any:
        """Return what goes on in the place of *payload*; raise `GuardrailTripped`."""
        for guardrail in self._before:
            judgement = await self._judge(guardrail, payload, payload)
            if isinstance(judgement, Replace):
                payload = judgement.value
            elif judgement is not None:
                raise self._tripped(guardrail, judgement)
        return payload

    async def check_beside(self, payload: Any) -> None:
        """Return once all checks beside the request have passed; raise `GuardrailTripped`."""

        async def check(guardrail: Guardrail) -> None:
            judgement = await self._judge(guardrail, payload, payload)
            if judgement is not None:
                raise self._tripped(guardrail, judgement)

        await _all_of([check(guardrail) for guardrail in self.beside])

    async def check_answer(self, payload: Any, answer: Any) -> Any:
        """Return what goes on in the place of *answer*; raise `GuardrailTripped`, `RepairWanted`."""
        for guardrail in self.after:
            judgement = await self._judge(guardrail, payload, answer)
            if isinstance(judgement, Replace):
                answer = judgement.value
            elif isinstance(judgement, Repair):
                raise RepairWanted(guardrail.name, judgement.feedback)
            elif judgement is not None:
                raise self._tripped(guardrail, judgement)
        return answer

    async def _judge(self, guardrail: Guardrail, payload: Any, value: Any) -> Judgement:
        async def judge() -> dict[str, Any]:
            limit = asyncio.timeout(guardrail.timeout)
            try:
                async with limit:
                    said = await _said(guardrail, payload, value)
            except TimeoutError as error:
                if limit.expired():
                    raise TimeoutError(
                        f"it took longer than its {guardrail.timeout:g} s"
                    ) from error
                raise
            return judgement_to_data(read_judgement(guardrail, said))

        context = agent_context()
        try:
            if context.journal is None:
                data = await judge()
            else:
                # What was found once holds for every attempt: another look may find otherwise.
                name = f"guardrail {guardrail.when} {guardrail.name}"
                data = await context.step(name, judge)
            return judgement_from_data(data)
        except GuardrailTripped as error:
            return Stop(error.reason)
        except Exception as error:
            if guardrail.on_error == "pass":
                _log_failed(self._owner, guardrail, error)
                return None
            reason = f"it failed itself: {shown(error, 200)}"
            raise GuardrailTripped(
                guardrail.name, reason, agent=self._owner, when=guardrail.when, failed=True
            ) from error

    def tripped_by_repair(self, wanted: RepairWanted) -> GuardrailTripped:
        """Return the error for a repair that nothing can make."""
        return GuardrailTripped(wanted.name, wanted.feedback, agent=self._owner, when="after")

    def _tripped(self, guardrail: Guardrail, judgement: Judgement) -> GuardrailTripped:
        reason = judgement.reason if isinstance(judgement, Stop) else ""
        return GuardrailTripped(guardrail.name, reason, agent=self._owner, when=guardrail.when)


async def _said(guardrail: Guardrail, payload: Any, value: Any) -> Any:
    """Return what the check says of *value*: the payload, or the answer to it."""
    check = guardrail.check
    if guardrail.is_agent:
        asked = {"input": payload, "answer": value} if guardrail.when == "after" else value
        # One that checks remembers nothing of the sessions of the agents that it guards.
        return await check.ask(asked, context={MODEL_TURN: ModelTurn(_VERDICT), SESSION: None})
    both = guardrail.when == "after" and guardrail.takes_both
    with contained:
        return await call_step(check, (payload, value) if both else (value,), {})


def _log_failed(owner: str, guardrail: Guardrail, error: Exception) -> None:
    Log(agent=owner, guardrail=guardrail.name).warning(
        "The guardrail {!r} of {!r} failed and let the request pass: {}",
        guardrail.name,
        owner,
        shown(error, 200),
    )


# -- one request -----------------------------------------------------------------------------------


class Held(Protocol):
    """Holds the parts of an answer back until it is known that they may be read."""

    def open(self) -> None:
        """Hand on all that is held, and from now on everything at once."""
        ...

    def drop_text(self) -> None:
        """Forget the text that is held: there will be another answer."""
        ...

    def replace(self, answer: Any) -> None:
        """Hold *answer* in the place of the text that is held."""
        ...


class GuardedRequest:
    """One request under guardrails. Owned by the handling of that request.

    What asks the model finds it in the context, under `GUARDED`: it waits for `passed` before it does
    anything that an answer leads to, and has the answer checked itself, so that it can be made again.
    """

    def __init__(self, guards: Guards, payload: Any) -> None:
        self._guards = guards
        self._payload = payload
        self._passed: asyncio.Task[None] | None = None
        self._checked = False
        self._wanted: RepairWanted | None = None
        """The repair that the latest answer needs."""
        self.parts: Held | None = None
        """What holds the parts of the answer back, where that is streamed."""

    async def passed(self) -> None:
        """Wait until the checks beside the request have passed; raise `GuardrailTripped`."""
        if self._passed is not None:
            await asyncio.shield(self._passed)

    async def check_answer(self, answer: Any) -> Any:
        """Return what goes on in the place of *answer*; raise `GuardrailTripped`, `RepairWanted`."""
        self._checked = True
        try:
            checked = await self._guards.check_answer(self._payload, answer)
        except RepairWanted as wanted:
            self._wanted = wanted
            if self.parts is not None:
                self.parts.drop_text()
            raise
        self._wanted = None
        if self.parts is not None and checked is not answer:
            self.parts.replace(checked)
        return checked

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the checked answer of *work*, which checks beside it stop when they trip."""
        guards = self._guards
        try:
            answer = await self._checked_beside(work)
            if guards.after and not self._checked and attribute_of(answer, "is_answer", True):
                answer = await self._check_last(answer)
        except Exception as error:
            wanted = self._wanted
            if wanted is None or isinstance(error, GuardrailTripped):
                raise
            # No answer that fits has come, after as many tries as the agent has.
            raise guards.tripped_by_repair(wanted) from error
        if self.parts is not None:
            self.parts.open()
        return answer

    async def _checked_beside(self, work: Coroutine[Any, Any, T]) -> T:
        guards = self._guards
        if guards.beside:
            self._passed = asyncio.ensure_future(guards.check_beside(self._payload))
            if self.parts is not None and not guards.after:
                self._passed.add_done_callback(self._open_if_well)
            return await _beside(self._passed, work)
        return await work

    def _open_if_well(self, checks: asyncio.Task[None]) -> None:
        if self.parts is not None and not checks.cancelled() and checks.exception() is None:
            self.parts.open()

    async def _check_last(self, answer: Any) -> Any:
        if type(answer) is AgentResult:
            output = await self.check_answer(answer.output)
            return answer if output is answer.output else replace(answer, output=output)
        return await self.check_answer(answer)


class HeldParts:
    """Holds the parts of an answer back until it is known that they may be read.

    An answer that was stopped has none that were; of one that was replaced, the text is not that of
    the model. Owned by one request.
    """

    def __init__(self, sink: PartSink) -> None:
        self._sink = sink
        self._held: list[Any] | None = []
        """None once all may be read."""

    def send(self, part: Any, /) -> None:
        """Hand *part* on, now or later."""
        if self._held is None:
            self._sink.send(part)
        else:
            self._held.append(part)

    def open(self) -> None:
        """Hand on all that is held, and from now on everything at once."""
        held, self._held = self._held, None
        for part in held or ():
            self._sink.send(part)

    def drop_text(self) -> None:
        """Forget the text that is held: there will be another answer."""
        held = self._held or ()
        self._held = [p for p in held if not isinstance(p, (TextDelta, ThinkingDelta))]

    def replace(self, answer: Any) -> None:
        """Hold *answer* in the place of the text that is held."""
        self.drop_text()
        if isinstance(answer, str):
            self.send(TextDelta(answer))

    def __reduce__(self) -> tuple[type[NoSink], tuple[()]]:
        # A handler in another process cannot reach the stream.
        return NoSink, ()


def guarded_handler(
    owner: str,
    handler: Callable[..., Any],
    guardrails: Sequence[Guardrail],
    dispatcher: str | None = None,
) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    """Return *handler* with its requests and answers checked. A plain one runs in a thread.

    Raises `AgentDefinitionError` for a *dispatcher* with a process or a thread of its own.
    """
    if dispatcher in ("process", "pinned"):
        raise AgentDefinitionError(
            f"agent {owner!r} has guardrails, which are checked on the event loop, and "
            f"dispatcher={dispatcher!r}; give the guardrails to the agent or the team that asks it"
        )
    guards = Guards(owner, guardrails)
    later = bool(guards.beside or guards.after)
    if inspect.isasyncgenfunction(handler):

        async def work(payload: Any) -> Any:
            return await drain(handler(payload))

    else:

        async def work(payload: Any) -> Any:
            return await call_step(handler, (payload,), {})

    async def guarded(payload: Any) -> Any:
        payload = await guards.check_request(payload)
        if not later:
            return await work(payload)
        request = GuardedRequest(guards, payload)
        added: dict[str, Any] = {GUARDED: request}
        sink = part_sink()
        if sink is not None:
            added[CHUNKS] = request.parts = HeldParts(sink)
        extend_agent_context(added)
        return await request.run(work(payload))

    return guarded


def guarded_request() -> GuardedRequest | None:
    """Return the request that is checked, where the running handler's agent has guardrails."""
    return cast("GuardedRequest | None", agent_context().get(GUARDED))


# -- at the same time ------------------------------------------------------------------------------


async def _beside(checks: asyncio.Future[None], work: Coroutine[Any, Any, T]) -> T:
    """Return what *work* returns once *checks* have passed; when they raise, *work* is stopped first."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((checks, task), return_when=asyncio.FIRST_COMPLETED)
        if not checks.done() and task.exception() is not None:
            return task.result()  # raises
        await checks
        return await task
    except GeneratorExit:
        _cancel(task, checks)  # nothing is awaited any more
        raise
    except BaseException:
        await _end(task, checks)
        raise


async def _all_of(checks: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Return when all *checks* have; when one raises, the others are stopped."""
    if len(checks) == 1:
        await checks[0]
        return
    tasks = [asyncio.ensure_future(check) for check in checks]
    try:
        for done in asyncio.as_completed(tasks):
            await done
    except GeneratorExit:
        _cancel(*tasks)
        raise
    except BaseException:
        await _end(*tasks)
        raise


def _cancel(*futures: asyncio.Future[Any]) -> None:
    for future in futures:
        future.cancel()


async def _end(*futures: asyncio.Future[Any]) -> None:
    """Stop what still runs of *futures*, and wait for its end."""
    _cancel(*futures)
    await asyncio.gather(*futures, return_exceptions=True)


__all__ = [
    "GUARDED",
    "GuardedRequest",
    "Guards",
    "HeldParts",
    "guarded_handler",
    "guarded_request",
]
