"""Model requests and tool calls as inner steps: what a model agent has done in a workflow is not done again.

In a step of a workflow each answer of the model and each result of a tool is recorded before the
conversation goes on. The next attempt, in whatever process, goes through the same conversation: answers
and results come from the record up to where the last one was cut off. Only what came back is recorded,
never a request: a history grows by what is new in it.

Names say what is meant, so that parallel calls may end in any order: ``request-3`` is the third request
of the conversation, ``refund:call_7`` the call of the tool ``refund`` that the model has given that id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter
from pydantic_ai import RunContext, ToolReturn
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import (
    ApprovalRequired,
    CallDeferred,
    ModelRetry,
    ToolFailed,
    UnexpectedModelBehavior,
)
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.messages import ToolReturnContent as Content
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestContext,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool, WrapperToolset

from agenticaiframework.actors import (
    AgentContext,
    InnerJournal,
    QuestionOpen,
    Usage,
    agent_context,
    is_expected,
)

from ..metering.spending import count_again, usage_of_response

AGAIN: Final = "again"
"""The name under which it is recorded that answers did not do, so that the model is asked again."""

_SIGNS: Final = str.maketrans({"/": "%2F", "#": "%23", "?": "%3F", "%": "%25"})
"""What an inner step's name cannot have, in a tool call's id."""

_CONTENT: Final[TypeAdapter[Any]] = TypeAdapter(
    Content, config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
)
_RETURN: Final[TypeAdapter[Any]] = TypeAdapter(ToolReturn)


class Durable(AbstractCapability[Any]):
    """Records what the conversations of an agent come to, where they belong to a step of a workflow.

    Elsewhere it does nothing. It has no state of its own: that of a conversation is in `Conversation`.
    """

    async def for_run(self, ctx: RunContext[Any]) -> AbstractCapability[Any]:
        """Return what records this conversation, if something is to."""
        context = agent_context()
        journal = context.journal
        return self if journal is None else Conversation(context, journal)


class Conversation(AbstractCapability[Any]):
    """One conversation with a model, recorded. Written by the hooks of its run, on the agent's loop."""

    def __init__(self, context: AgentContext, journal: InnerJournal) -> None:
        self._context = context
        self._journal = journal
        number = journal.number(context, "conversation")
        self._prefix = "" if number == 1 else f"{number}:"
        """What tells the names of several conversations of one handling apart."""
        self._step = 0
        """The number of the request under way."""
        self._answers = 0
        """How many answers there have been to it, those included that did not count."""
        self._calls: dict[str, int] = {}
        """The request after which each call was made first, by its name."""
        self._fresh_from = 1
        """The first request after the last tool that has done something."""
        self._cut_short = False
        """Whether a request or a tool has raised, so that nothing was recorded of it."""
        self._again = self._marks()

    def _marks(self) -> list[Mapping[str, int]]:
        marks: list[Mapping[str, int]] = []
        while (
            found := self._journal.recorded(self._context, self._mark_name(len(marks)))
        ) is not None:
            marks.append(found[0])
        return marks

    def _mark_name(self, number: int) -> str:
        return f"{self._prefix}{AGAIN}" if number == 0 else f"{self._prefix}{AGAIN}-{number + 1}"

    # -- hooks -------------------------------------------------------------------------------------

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        self._step = ctx.run_step
        self._answers = 0
        return request_context

    def get_wrapper_model(self, model: Model) -> Model | None:
        return RecordedModel(model, self)

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any] | None:
        return RecordedToolset(toolset, self)

    async def on_run_error(self, ctx: RunContext[Any], *, error: BaseException) -> Any:
        """Have the next attempt ask the model again where it was the answers that did not do."""
        if not self._cut_short and _is_about_answers(error):
            mark = {"from": self._fresh_from, "tools": self._step}
            await self._journal.named_step(
                self._context, self._mark_name(len(self._again)), _returning(mark)
            )
        raise error

    # -- answers of the model ------------------------------------------------------------------------

    def next_name(self, messages: list[ModelMessage]) -> tuple[str, str]:
        """Return the name of the request that is about to be made, and what it tells the model."""
        self._answers += 1
        name = f"{self._prefix}request-{self._step}"
        if self._answers > 1:
            name += f".{self._answers}"
        if times := sum(1 for mark in self._again if mark["from"] <= self._step):
            name += f"~{times + 1}"
        told = _told(messages)
        recorded = self._journal.recorded(self._context, name)
        if recorded is not None and recorded[0]["told"] != told:
            # It answers something else: the agent has other tools now, or they are called otherwise.
            name += f"-{told}"
        return name, told

    def recorded_answer(self, name: str) -> ModelResponse | None:
        """Return what is recorded under *name*."""
        found = self._journal.recorded(self._context, name)
        if found is None:
            return None
        answer = _read_answer(found[0])
        count_again(usage_of_response(answer), self._journal)
        return answer

    async def record_answer(
        self, name: str, told: str, answer: asyncio.Future[ModelResponse]
    ) -> None:
        """Record *answer* under *name* when it is there."""

        async def made() -> dict[str, Any]:
            return _answer_as_json(await answer, told)

        await self._journal.named_step(self._context, name, made)

    async def answer(self, name: str, told: str, ask: Any) -> ModelResponse:
        """Return what *ask* returns, or what is recorded under *name*."""
        asked = False

        async def made() -> dict[str, Any]:
            nonlocal asked
            asked = True
            try:
                return _answer_as_json(await ask(), told)
            except BaseException:
                self._cut_short = True
                raise

        answer = _read_answer(await self._journal.named_step(self._context, name, made))
        if not asked:
            count_again(usage_of_response(answer), self._journal)
        return answer

    def cut_short(self) -> None:
        """Take note that a request has raised."""
        self._cut_short = True

    # -- results of tools ----------------------------------------------------------------------------

    async def call(self, tool: str, ctx: RunContext[Any], make: Any) -> Any:
        """Return what *make* returns, or what is recorded of this call; raises what is recorded of it."""
        name = self._call_name(tool, ctx)
        called = False

        async def made() -> dict[str, Any]:
            nonlocal called
            called = True
            try:
                return await _outcome_of(make)
            except BaseException:
                self._cut_short = True
                raise

        outcome = await self._journal.named_step(self._context, name, made)
        if "value" in outcome or "returned" in outcome:
            self._fresh_from = max(self._fresh_from, ctx.run_step + 1)
            if not called:
                count_again(Usage(tool_calls=1), self._journal)
        return _result_of(outcome)

    def _call_name(self, tool: str, ctx: RunContext[Any]) -> str:
        call_id = (ctx.tool_call_id or "").translate(_SIGNS)
        name = f"{self._prefix}{tool.translate(_SIGNS)}:{call_id}"
        if self._calls.setdefault(name, ctx.run_step) != ctx.run_step:
            name += f"@{ctx.run_step}"  # a provider that gives an id again
        if ctx.tool_call_approved:
            name += ":approved"
        recorded = self._journal.recorded(self._context, name)
        if recorded is not None and "retry" in recorded[0]:
            times = sum(1 for mark in self._again if mark["tools"] <= ctx.run_step)
            return f"{name}~{times + 1}" if times else name
        return name


class RecordedModel(WrapperModel):
    """A model whose answers are recorded, and come from the record."""

    def __init__(self, wrapped: Model, conversation: Conversation) -> None:
        super().__init__(wrapped)
        self._conversation = conversation

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        name, told = self._conversation.next_name(messages)

        async def ask() -> ModelResponse:
            return await self.wrapped.request(messages, model_settings, model_request_parameters)

        return await self._conversation.answer(name, told, ask)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        conversation = self._conversation
        name, told = conversation.next_name(messages)
        found = conversation.recorded_answer(name)
        if found is not None:
            yield CompletedStreamedResponse(
                found, model_request_parameters=model_request_parameters, replay_events=True
            )
            return
        answer: asyncio.Future[ModelResponse] = asyncio.get_running_loop().create_future()
        # It is under way as long as the stream is, for what waits until nothing is.
        recording = asyncio.create_task(conversation.record_answer(name, told, answer))
        try:
            async with self.wrapped.request_stream(
                messages, model_settings, model_request_parameters, run_context
            ) as stream:
                yield stream
            response = stream.get()
            if response.state != "complete":
                return
            answer.set_result(response)
            await recording
        except Exception:
            conversation.cut_short()
            raise
        finally:
            if not recording.done():
                recording.cancel()
                with suppress(asyncio.CancelledError):
                    await recording


@dataclass
class RecordedToolset(WrapperToolset[Any]):
    """Tools whose results are recorded, and come from the record."""

    conversation: Conversation = field(repr=False)

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        async def make() -> Any:
            return await self.wrapped.call_tool(name, tool_args, ctx, tool)

        return await self.conversation.call(name, ctx, make)


def _returning(value: Any) -> Any:
    async def give() -> Any:
        return value

    return give


def _is_about_answers(error: BaseException) -> bool:
    """Tell whether *error* comes of what the model has said, so that the same would come of it again."""
    if isinstance(error, UnexpectedModelBehavior):
        return True
    return is_expected(error) and not isinstance(error, QuestionOpen)


def _told(messages: list[ModelMessage]) -> str:
    """Return what the last message tells the model of its calls, in short; nothing if it tells of none."""
    parts: list[str] = []
    for part in messages[-1].parts if messages else ():
        call_id = getattr(part, "tool_call_id", None)
        if call_id is not None:
            said = getattr(part, "outcome", part.part_kind)
            parts.append(f"{getattr(part, 'tool_name', '')}:{call_id}:{said}")
    return sha256("\n".join(sorted(parts)).encode()).hexdigest()[:8] if parts else ""


def _answer_as_json(answer: ModelResponse, told: str) -> dict[str, Any]:
    [form] = ModelMessagesTypeAdapter.dump_python([answer], mode="json")
    return {"told": told, "answer": form}


def _read_answer(stored: Mapping[str, Any]) -> ModelResponse:
    [answer] = ModelMessagesTypeAdapter.validate_python([stored["answer"]])
    assert isinstance(answer, ModelResponse), "nothing else is recorded"
    return answer


async def _outcome_of(make: Any) -> dict[str, Any]:
    """Return what is recorded of a call: what it returns, or what it tells the model instead."""
    try:
        value = await make()
    except ModelRetry as error:
        return {"retry": error.message}
    except ToolFailed as error:
        return {"failed": error.message}
    except ApprovalRequired as error:
        return {"approval": error.metadata}
    except CallDeferred as error:
        return {"deferred": error.kind, "metadata": error.metadata}
    if isinstance(value, ToolReturn):
        return {"returned": _RETURN.dump_python(value, mode="json")}
    return {"value": _CONTENT.dump_python(value, mode="json")}


def _result_of(outcome: Mapping[str, Any]) -> Any:
    """Return what is recorded of a call, or raise it."""
    if "value" in outcome:
        return _CONTENT.validate_python(outcome["value"])
    if "returned" in outcome:
        return _RETURN.validate_python(outcome["returned"])
    if "retry" in outcome:
        raise ModelRetry(outcome["retry"])
    if "failed" in outcome:
        raise ToolFailed(outcome["failed"])
    if "approval" in outcome:
        raise ApprovalRequired(outcome["approval"])
    raise CallDeferred(outcome["metadata"], kind=outcome["deferred"])


__all__ = ["Conversation", "Durable", "RecordedModel", "RecordedToolset"]
