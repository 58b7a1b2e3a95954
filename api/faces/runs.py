"""How workflows are asked: a run behind each call, which its caller finds again by its id or its key."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final

from agenticaiframework.actors import Answer, as_data
from agenticaiframework.patterns.engine import (
    EventKind,
    OrchestrationEngine,
    UnknownWorkflow,
    WorkflowEvent,
    WorkflowExists,
    WorkflowResult,
    WorkflowState,
    WorkflowStatus,
    WorkflowSummary,
)
from agenticaiframework.patterns.engine.store import StoreError

from .failures import CallFailed, FailureKind
from .items import Asked, Begun, Item, Progress

CALLER: Final = "caller"
"""The label of a run that has its caller's name; no other caller is told of it."""

FACE: Final = "face"
"""The label of a run that says by which protocol it was asked for."""

CONVERSATION: Final = "conversation"
"""The label of a run that says in which conversation it was asked for."""

_ENDS: Final = {
    EventKind.STEP_COMPLETED: "done",
    EventKind.STEP_SKIPPED: "skipped",
    EventKind.STEP_FAILED: "failed",
}

_SAID: Final = {
    EventKind.STEP_STARTED: "started",
    EventKind.STEP_RETRYING: "failed, is tried again",
    EventKind.STEP_WAITING: "waits for a signal",
    EventKind.QUESTION_ASKED: "waits for an answer",
    EventKind.STEP_SLEEPING: "waits for a time",
}


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of one workflow of an engine. *durable* ones outlive their callers and this process."""

    engine: OrchestrationEngine
    workflow: str
    durable: bool
    steps: int | None
    """How many steps it has, if that is known before it runs."""
    answers: bool = False
    """Whether a run's caller may answer what it waits for."""

    async def ask(self, asked: Asked) -> AsyncGenerator[Item]:
        """Yield what happens in a run, and its result. A run that is not durable ends with its caller."""
        deadline = asyncio.get_running_loop().time() + asked.timeout_s
        run_id, joined = await self._begin(asked)
        ended = False
        try:
            yield Begun(run_id, joined)
            done = 0
            events = self.engine.stream(run_id)
            try:
                async with aclosing(events):
                    while True:
                        async with asyncio.timeout_at(deadline):
                            event = await anext(events, None)
                        if event is None:
                            break
                        done += event.kind in _ENDS
                        happened = _happened(event, done, self.steps)
                        if happened is not None:
                            yield happened
                async with asyncio.timeout_at(deadline):
                    result = await self.engine.wait(run_id)
            except TimeoutError as error:
                if asyncio.get_running_loop().time() < deadline:
                    raise  # the run's own limit
                ended = self.durable
                raise self._too_long(run_id, asked.timeout_s) from error
            ended = True
            status = await self.engine.get_workflow_status(run_id)
            yield Answer(output_of(result), status.usage)
        finally:
            if not ended and not self.durable:
                asked.keeps.aside(self._cancel_left(run_id))

    async def _begin(self, asked: Asked) -> tuple[str, bool]:
        if asked.run_id is not None:
            return (await self.find_again(asked.run_id, asked.who)).workflow_id, True
        run_id = None if asked.key is None else self._id_of(asked.who, asked.key)
        labels = {CALLER: asked.who, FACE: asked.face}
        if asked.session is not None:
            labels[CONVERSATION] = asked.session
        try:
            started = await self.engine.start_workflow(
                self.workflow,
                asked.payload,
                persist_state=self.durable,
                workflow_id=run_id,
                labels=labels,
                context=asked.context(),
            )
        except WorkflowExists as there:
            status = await self.find_again(there.workflow_id, asked.who, outputs=True)
            if _canonical(status.input) != _canonical(asked.payload):
                raise CallFailed(
                    FailureKind.BAD_INPUT,
                    f"The key {asked.key!r} stands for the run {status.workflow_id!r}, which has another "
                    "input. Give each input a key of its own.",
                ) from None
            return there.workflow_id, True
        return started, False

    def _id_of(self, who: str, key: str) -> str:
        digest = hashlib.sha256(f"{who}\0{self.workflow}\0{key}".encode()).hexdigest()[:24]
        return f"{self.workflow.replace('~', '-')}-{digest}"

    async def _cancel_left(self, run_id: str) -> None:
        await self.engine.cancel_workflow(run_id, "the caller has left")

    def _too_long(self, run_id: str, timeout_s: float) -> CallFailed:
        said = f"The run {run_id!r} of {self.workflow!r} takes longer than {timeout_s:g} s. " + (
            "It goes on: ask for it by its id." if self.durable else "It is cancelled."
        )
        return CallFailed(FailureKind.TIMED_OUT, said)

    async def find(self, run_id: str, who: str, *, outputs: bool = False) -> WorkflowStatus:
        """Return the run of that id, if *who* has asked for it; raises `UnknownWorkflow`."""
        status = await self.engine.get_workflow_status(run_id, outputs=outputs)
        if status.name != self.workflow or status.labels.get(CALLER) != who:
            # As if there were none: that there is one is not told to other callers.
            raise UnknownWorkflow(run_id)
        return status

    async def find_again(self, run_id: str, who: str, *, outputs: bool = False) -> WorkflowStatus:
        """Return what `find` does, and have a run go on whose process is gone."""
        status = await self.find(run_id, who, outputs=outputs)
        if status.state is WorkflowState.INTERRUPTED and status.persisted:
            # An engine that looks for such runs itself may have been faster; then it goes on there.
            with suppress(StoreError):
                await self.engine.resume_workflow(run_id)
        return status

    async def list(self, who: str, limit: int) -> tuple[WorkflowSummary, ...]:
        """Return the latest runs that *who* has asked for."""
        page = await self.engine.list_workflows(
            name=self.workflow, labels={CALLER: who}, limit=limit
        )
        return page.workflows


def output_of(result: Any) -> Any:
    """Return what a run has returned; of one without an output of its own what its last step returned."""
    return result.output if isinstance(result, WorkflowResult) else result


def _happened(event: WorkflowEvent, done: int, total: int | None) -> Progress | None:
    said = _ENDS.get(event.kind)
    if said is not None:
        return Progress(f"{event.step}: {said}", done, total, event.step, "ended")
    said = _SAID.get(event.kind)
    if said is None:
        return None
    message = f"{event.step}: {said}"
    if event.kind is EventKind.STEP_STARTED:
        return Progress(message, done, total, event.step, "started")
    if event.kind in (EventKind.STEP_WAITING, EventKind.QUESTION_ASKED):
        return Progress(message, done, total, event.step, "waits")
    return Progress(message, done, total, event.step)


def _canonical(value: Any) -> str:
    data: Mapping[str, Any] = {"input": as_data(value)}
    return json.dumps(data, sort_keys=True)
