"""What a call tells, as events of AG-UI: what begins is ended, in the order that front ends need."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ag_ui.core import (
    PROTOCOL_VERSION,
    BaseEvent,
    CustomEvent,
    Interrupt,
    ReasoningEndEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    ReasoningStartEvent,
    RunAgentInput,
    RunErrorEvent,
    RunFinishedEvent,
    RunFinishedInterruptOutcome,
    RunStartedEvent,
    StepFinishedEvent,
    StepStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)

from agenticaiframework.actors import (
    Answer,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolResult,
    as_data,
)

from .calls import Call
from .failures import Failure
from .forms import as_text, sendable
from .items import Begun, Item, Progress
from .waits import Wait

Events = Iterator[BaseEvent]


class RunEvents:
    """The events of one run. Keeps what is open, so that it is closed."""

    def __init__(self, asked: RunAgentInput, call: Call) -> None:
        self._asked = asked
        self._call = call
        self._texts = 0
        self._said = ""
        self._speaking: str | None = None
        self._thinking: str | None = None
        self._steps: dict[str, None] = {}

    def started(self) -> Events:
        """Yield what opens the run."""
        yield RunStartedEvent(
            thread_id=self._asked.thread_id,
            run_id=self._asked.run_id,
            protocol_version=PROTOCOL_VERSION,
        )

    def of(self, item: Item) -> Events:
        """Yield what *item* is to a front end."""
        if isinstance(item, TextDelta):
            if self._call.served.speaks and item.text:
                yield from self._text(item.text)
        elif isinstance(item, ThinkingDelta):
            if self._call.served.speaks and item.text:
                yield from self._thought(item.text)
        elif isinstance(item, ToolCall):
            yield from self._end_message()
            yield from self._tool(item)
        elif isinstance(item, ToolResult):
            content = item.error or as_text(sendable(as_data(item.result)))
            yield ToolCallResultEvent(
                message_id=f"{item.call_id}-result", tool_call_id=item.call_id, content=content
            )
        elif isinstance(item, Begun):
            yield CustomEvent(name="run", value={"run_id": item.run_id, "joined": item.joined})
        elif isinstance(item, Progress):
            yield from self._progress(item)
        elif isinstance(item, Answer):  # pyright: ignore[reportUnnecessaryIsInstance]
            yield from self._finished()

    def failed(self, failure: Failure) -> Events:
        """Yield what closes a run that has no answer."""
        yield from self._close()
        yield RunErrorEvent(message=failure.message, code=str(failure.kind))

    def waits(self, wait: Wait) -> Events:
        """Yield what a run waits for, if it is said elsewhere: the run goes on being told."""
        told = {"run_id": wait.run_id, "step": wait.step, "name": wait.name, "message": wait.said}
        yield CustomEvent(name="waits", value=told)

    def interrupted(self, wait: Wait, interrupt_id: str) -> Events:
        """Yield what closes a run that its front end has to answer, which resumes it with another."""
        yield from self._close()
        interrupt = Interrupt(
            id=interrupt_id,
            reason="question" if wait.is_question else "signal",
            message=wait.said,
            metadata={"run_id": wait.run_id, "step": wait.step, "name": wait.name},
        )
        yield RunFinishedEvent(
            thread_id=self._asked.thread_id,
            run_id=self._asked.run_id,
            outcome=RunFinishedInterruptOutcome(interrupts=[interrupt]),
        )

    def _finished(self) -> Events:
        answer = self._call.answer
        text = as_text(answer)
        # What was told while it was made is the answer, or ends with it; if another was made of it, by
        # a guardrail or a type, that follows.
        if text and (not self._said or not self._said.strip().endswith(text.strip())):
            yield from self._end_message()
            yield from self._text(text)
        yield from self._close()
        yield RunFinishedEvent(
            thread_id=self._asked.thread_id, run_id=self._asked.run_id, result=answer
        )

    def _text(self, text: str) -> Events:
        yield from self._end_thought()
        if self._speaking is None:
            self._texts += 1
            self._speaking = f"{self._asked.run_id}-{self._texts}"
            yield TextMessageStartEvent(message_id=self._speaking, role="assistant")
        self._said += text
        yield TextMessageContentEvent(message_id=self._speaking, delta=text)

    def _thought(self, text: str) -> Events:
        yield from self._end_text()
        if self._thinking is None:
            self._texts += 1
            self._thinking = f"{self._asked.run_id}-{self._texts}"
            yield ReasoningStartEvent(message_id=self._thinking)
            yield ReasoningMessageStartEvent(message_id=self._thinking, role="reasoning")
        yield ReasoningMessageContentEvent(message_id=self._thinking, delta=text)

    def _tool(self, item: ToolCall) -> Events:
        arguments: Any = item.arguments
        text = arguments if isinstance(arguments, str) else json.dumps(sendable(as_data(arguments)))
        yield ToolCallStartEvent(tool_call_id=item.call_id, tool_call_name=item.tool)
        yield ToolCallArgsEvent(tool_call_id=item.call_id, delta=text)
        yield ToolCallEndEvent(tool_call_id=item.call_id)

    def _progress(self, item: Progress) -> Events:
        if item.phase == "started" and item.step not in self._steps:
            self._steps[item.step] = None
            yield StepStartedEvent(step_name=item.step)
        elif item.phase == "ended" and item.step in self._steps:
            del self._steps[item.step]
            yield StepFinishedEvent(step_name=item.step)
        told = {"message": item.message, "done": item.done, "total": item.total}
        yield CustomEvent(name="progress", value=told)

    def _close(self) -> Events:
        yield from self._end_message()
        for step in self._steps:
            yield StepFinishedEvent(step_name=step)
        self._steps.clear()

    def _end_message(self) -> Events:
        yield from self._end_text()
        yield from self._end_thought()

    def _end_text(self) -> Events:
        if self._speaking is not None:
            yield TextMessageEndEvent(message_id=self._speaking)
            self._speaking = None

    def _end_thought(self) -> Events:
        if self._thinking is not None:
            yield ReasoningMessageEndEvent(message_id=self._thinking)
            yield ReasoningEndEvent(message_id=self._thinking)
            self._thinking = None
