"""What A2A asks of an agent, answered by calls: each message is a task, each run of a workflow one too."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, cast

from a2a.helpers import get_data_parts, get_text_parts
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import RequestHandler
from a2a.types import (
    AgentCard,
    Artifact,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTaskPushNotificationConfigsResponse,
    ListTasksRequest,
    ListTasksResponse,
    Message,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskArtifactUpdateEvent,
    TaskPushNotificationConfig,
    TaskState,
    TaskStatus,
    TaskStatusUpdateEvent,
)
from a2a.utils.errors import (
    A2AError,
    ContentTypeNotSupportedError,
    ExtendedAgentCardNotConfiguredError,
    InternalError,
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from agenticaiframework.actors import ActorSystem, AgenticError, TextDelta, ToolCall, as_data
from agenticaiframework.patterns.engine import UnknownWorkflow, WorkflowStatus

from .a2a_tasks import ANSWER, Work, Works, artifact_of, part_of, said, task_of_run
from .calls import Call, Calls
from .failures import CallFailed, FailureKind, failure_of, refusal_of
from .forms import INPUT
from .items import Item, Progress
from .runs import CONVERSATION, output_of
from .served import Served
from .waits import Wait, wait_of

Event = Message | Task | TaskStatusUpdateEvent | TaskArtifactUpdateEvent

WHO: Final = "who"
"""The key of the caller's name in a request's state."""

WAITS: Final = "waits"
"""Where it has what is told for which call its client waits."""

_OVER: Final = frozenset(
    {
        TaskState.TASK_STATE_COMPLETED,
        TaskState.TASK_STATE_FAILED,
        TaskState.TASK_STATE_CANCELED,
        TaskState.TASK_STATE_REJECTED,
    }
)
_LISTED: Final = 100
"""Runs that are listed at most, beside the tasks that are kept here."""


class TaskHandler(RequestHandler):
    """Answers one agent's requests. Owned by the loop that it is used on."""

    def __init__(self, served: Served, calls: Callable[[], Calls], kept: int) -> None:
        self._served = served
        self._calls = calls
        self._works = Works(kept)

    # -- messages --------------------------------------------------------------------------------------

    async def on_message_send(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> Task | Message:
        """Return the task of a message, once it has ended, or at once if that is asked for."""
        work, answered = await self._begin(params, context)
        if not params.configuration.return_immediately:
            self._wait_for(context, work.call)
            asked = await self._until_asked(work, answered)
            if asked is not None:
                return asked
        return work.task()

    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        """Yield the task of a message, and what happens to it."""
        work, answered = await self._begin(params, context)
        self._wait_for(context, work.call)
        async for event in self._told(work, answered):
            yield event

    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        """Yield a task that there is, and what happens to it from its beginning on."""
        who: str = context.state[WHO]
        work = self._works.find(params.id, who)
        if work is None:
            status = await self._run(params.id, who)
            if status.finished:
                raise _over(params.id)
            call = self._begin_call(None, who, run_id=params.id)
            work = Work(params.id, _context_of(status, who), who, call, None)
            self._works.add(work)
        elif work.call.done.is_set():
            raise _over(params.id)
        async for event in self._told(work):
            yield event

    async def _begin(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> tuple[Work, Wait | None]:
        """Return the task of a message, and what it has answered, if it has."""
        message = params.message
        who: str = context.state[WHO]
        if message.task_id:
            return await self._answered(message, who)
        context_id = message.context_id or _new_id()
        try:
            payload = self._read(message)
            # A message that is sent again, by a client that was lost, means the same run.
            key = message.message_id or None
            call = self._begin_call(payload, who, key=key, session=context_id)
            if self._served.runs is not None:
                # A workflow's task is its run, so that it is found in every process.
                await call.after(0)
        except CallFailed as error:
            raise _refused(error) from None
        answered = Message()
        answered.CopyFrom(message)
        answered.context_id = context_id
        work = Work(call.run_id or _new_id(), context_id, who, call, answered)
        there = self._works.find(work.task_id, who)
        if there is not None and not there.call.done.is_set():
            call.leave()
            return there, None
        self._works.add(work)
        return work, None

    async def _answered(self, message: Message, who: str) -> tuple[Work, Wait]:
        """Answer what a task waits for, and return the task as it goes on, and what it had waited for."""
        runs = self._served.runs
        if runs is None:
            raise UnsupportedOperationError(
                message="A task ends with its answer: send the next message in its context, "
                "without the task's id."
            )
        status = await self._run(message.task_id, who)
        if status.finished:
            raise _over(message.task_id)
        context_id = _context_of(status, who)
        if message.context_id not in ("", context_id):
            raise InvalidParamsError(message=f"The task is in the context {context_id!r}.")
        wait = wait_of(status)
        if wait is None:
            raise UnsupportedOperationError(
                message=f"The task {message.task_id!r} waits for nothing that can be said."
            )
        if not runs.answers:
            raise UnsupportedOperationError(
                message=f"The task {message.task_id!r} is answered elsewhere: {wait.said}"
            )
        try:
            await wait.answer(runs.engine, self._value_of(message))
        except CallFailed as error:
            raise _refused(error) from None
        except AgenticError as error:
            refusal = refusal_of(error)
            if refusal.failure.kind is FailureKind.BAD_INPUT:
                raise UnsupportedOperationError(message=refusal.failure.message) from None
            raise _refused(refusal) from None
        call = self._begin_call(None, who, run_id=message.task_id)
        work = Work(message.task_id, context_id, who, call, message)
        self._works.add(work)
        return work, wait

    async def _until_asked(self, work: Work, answered: Wait | None) -> Task | None:
        """Return a durable task once it waits for an answer, other than that which was given; None once
        it has ended."""
        try:
            async for item in work.call.follow():
                if _waits(item) and (asked := await self._asked(work, answered)) is not None:
                    return asked
        except CallFailed:
            pass  # it stands in the status
        await work.call.done.wait()
        return None

    async def _asked(self, work: Work, answered: Wait | None) -> Task | None:
        if not self._served.durable:
            return None  # it would end with its caller
        status = await self._run(work.task_id, work.who)
        wait = wait_of(status)
        if wait is None or wait == answered:
            return None
        return await self._task_of(status, work.who)

    def _begin_call(self, payload: Any, who: str, **more: Any) -> Call:
        return self._calls().begin(self._served, payload, who, **more)

    def _value_of(self, message: Message) -> Any:
        """Return an answer: the one part of data as it is, or a text."""
        data, text = self._parts_of(message)
        return _narrowed(data) if text is None else text

    def _read(self, message: Message) -> Any:
        data, text = self._parts_of(message)
        if text is not None:
            return self._served.form.read_text(text)
        value = _narrowed(data)
        arguments = cast("dict[str, Any]", value if isinstance(value, dict) else {INPUT: value})
        return self._served.form.read(arguments)

    def _parts_of(self, message: Message) -> tuple[Any, str | None]:
        """Return the data of a message, or its text."""
        data, texts = get_data_parts(message.parts), get_text_parts(message.parts)
        if len(data) + len(texts) < len(message.parts):
            raise ContentTypeNotSupportedError(message="Parts are texts, or one part of data.")
        if len(data) == 1 and not texts:
            return data[0], None
        if data or not texts:
            raise CallFailed(
                FailureKind.BAD_INPUT, "The message has either texts, or one part of data."
            )
        return None, "\n".join(texts)

    def _wait_for(self, context: ServerCallContext, call: Call) -> None:
        context.state[WAITS](call)

    async def _told(self, work: Work, answered: Wait | None = None) -> AsyncGenerator[Event]:
        yield Task(
            id=work.task_id,
            context_id=work.context_id,
            status=TaskStatus(state=TaskState.TASK_STATE_WORKING, timestamp=work.at),
            history=[] if work.message is None else [work.message],
        )
        begun = False
        try:
            async for item in work.call.follow():
                if isinstance(item, TextDelta) and self._served.speaks:
                    part = Artifact(artifact_id=ANSWER, name=ANSWER, parts=[part_of(item.text)])
                    yield self._artifact(work, part, append=begun)
                    begun = True
                elif _waits(item) and (asked := await self._asked(work, answered)) is not None:
                    # Its next message is the client's; a stream ends here, as the protocol has it.
                    yield TaskStatusUpdateEvent(
                        task_id=work.task_id, context_id=work.context_id, status=asked.status
                    )
                    return
                elif (text := _told_of(item)) is not None:
                    yield TaskStatusUpdateEvent(
                        task_id=work.task_id,
                        context_id=work.context_id,
                        status=TaskStatus(
                            state=TaskState.TASK_STATE_WORKING,
                            message=said(text, work.task_id, work.context_id),
                        ),
                    )
            # The whole takes the place of its parts: a guardrail or a type may have made another.
            yield self._artifact(work, artifact_of(work.call.answer), last=True)
        except CallFailed:
            pass  # it stands in the status
        yield TaskStatusUpdateEvent(
            task_id=work.task_id, context_id=work.context_id, status=work.status()
        )

    def _artifact(
        self, work: Work, artifact: Artifact, *, append: bool = False, last: bool = False
    ) -> TaskArtifactUpdateEvent:
        return TaskArtifactUpdateEvent(
            task_id=work.task_id,
            context_id=work.context_id,
            artifact=artifact,
            append=append,
            last_chunk=last,
        )

    # -- tasks -----------------------------------------------------------------------------------------

    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task | None:
        """Return a task that the caller has asked for."""
        who: str = context.state[WHO]
        work = self._works.find(params.id, who)
        if work is not None:
            return await self._now(work)
        return await self._task_of(await self._run(params.id, who), who)

    async def on_list_tasks(
        self, params: ListTasksRequest, context: ServerCallContext
    ) -> ListTasksResponse:
        """Return the tasks that the caller has asked for, the newest first."""
        who: str = context.state[WHO]
        found = [await self._now(work) for work in self._works.of(who)]
        runs = self._served.runs
        if runs is not None:
            known = {task.id for task in found}
            others = [each.workflow_id for each in await runs.list(who, _LISTED)]
            found += [
                await self._task_of(await self._run(run_id, who), who)
                for run_id in others
                if run_id not in known
            ]
        if params.context_id:
            found = [task for task in found if task.context_id == params.context_id]
        if params.status:
            found = [task for task in found if task.status.state == params.status]
        start = int(params.page_token) if params.page_token.isdigit() else 0
        size = min(params.page_size or 50, 100)
        more = start + size < len(found)
        return ListTasksResponse(
            tasks=found[start : start + size],
            next_page_token=str(start + size) if more else "",
            page_size=size,
            total_size=len(found),
        )

    async def on_cancel_task(
        self, params: CancelTaskRequest, context: ServerCallContext
    ) -> Task | None:
        """Cancel a task, and return it."""
        who: str = context.state[WHO]
        work = self._works.find(params.id, who)
        if work is not None and not work.call.done.is_set():
            work.call.cancel("cancelled by its caller")
            await work.call.done.wait()
            return work.task()
        if work is not None and not self._served.durable:
            raise TaskNotCancelableError(message=f"The task {params.id!r} has ended.")
        status = await self._run(params.id, who)
        runs = self._served.runs
        if runs is None or status.finished:
            raise TaskNotCancelableError(message=f"The task {params.id!r} has ended.")
        await runs.engine.cancel_workflow(params.id, "cancelled by its caller")
        return await self._task_of(await self._run(params.id, who), who)

    async def _now(self, work: Work) -> Task:
        """Return a task as it stands: a durable run may wait for an answer, or have gone on without its call."""
        if not self._served.durable:
            return work.task()
        return await self._task_of(await self._run(work.task_id, work.who), work.who)

    async def _run(self, task_id: str, who: str) -> WorkflowStatus:
        runs = self._served.runs
        if runs is None:
            raise TaskNotFoundError(message=f"There is no task {task_id!r}.")
        try:
            return await runs.find_again(task_id, who)
        except UnknownWorkflow:
            raise TaskNotFoundError(message=f"There is no task {task_id!r}.") from None
        except AgenticError as error:
            raise InternalError(message=failure_of(error).message) from None

    async def _task_of(self, status: WorkflowStatus, who: str) -> Task:
        output = None
        runs = self._served.runs
        if runs is not None and status.state == "completed":
            output = as_data(output_of(await runs.engine.wait(status.workflow_id)))
        return task_of_run(status, _context_of(status, who), output)

    # -- what is not there -----------------------------------------------------------------------------

    async def on_create_task_push_notification_config(
        self, params: TaskPushNotificationConfig, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        """Refuse: nothing is pushed."""
        raise PushNotificationNotSupportedError

    async def on_get_task_push_notification_config(
        self, params: GetTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        """Refuse: nothing is pushed."""
        raise PushNotificationNotSupportedError

    async def on_list_task_push_notification_configs(
        self, params: ListTaskPushNotificationConfigsRequest, context: ServerCallContext
    ) -> ListTaskPushNotificationConfigsResponse:
        """Refuse: nothing is pushed."""
        raise PushNotificationNotSupportedError

    async def on_delete_task_push_notification_config(
        self, params: DeleteTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> None:
        """Refuse: nothing is pushed."""
        raise PushNotificationNotSupportedError

    async def on_get_extended_agent_card(
        self, params: GetExtendedAgentCardRequest, context: ServerCallContext
    ) -> AgentCard:
        """Refuse: there is one card."""
        raise ExtendedAgentCardNotConfiguredError


def _waits(item: Item) -> bool:
    return isinstance(item, Progress) and item.phase == "waits"


def _told_of(item: Item) -> str | None:
    if isinstance(item, Progress):
        return item.message
    return f"calls {item.tool}" if isinstance(item, ToolCall) else None


def _context_of(status: WorkflowStatus, who: str) -> str:
    return status.labels.get(CONVERSATION, "").removeprefix(f"{who}/") or status.workflow_id


def _refused(error: CallFailed) -> A2AError:
    failure = error.failure
    data = {"kind": str(failure.kind), "retry_after_s": failure.retry_after_s}
    if failure.kind is FailureKind.BAD_INPUT:
        return InvalidParamsError(message=failure.message, data=data)
    return InternalError(message=failure.message, data=data)


def _over(task_id: str) -> A2AError:
    return UnsupportedOperationError(message=f"The task {task_id!r} has ended: get it.")


def _new_id() -> str:
    return f"{ActorSystem.current().random.getrandbits(128):032x}"


def _narrowed(value: Any) -> Any:
    """Return data of a message with whole numbers as such: the protocol's buffers know floats alone."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {str(key): _narrowed(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return [_narrowed(each) for each in value] if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]
