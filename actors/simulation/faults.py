"""Faults as data: what goes wrong, in which actor, and when.

A fault names an actor by its label: the name that it was started with, or its class and number
(`Worker#2` is the second `Worker` that the system started). `*` and `?` match as in file names, so
`actor="*"` with `at_message=17` is the 17th message handled in the run. Messages are counted over
all incarnations of a label, from 1; times are virtual seconds from the start of the run.

Every model is frozen and reads and writes JSON. What a fault does when its moment comes is in
`injector` (actors), in the testing kit's stores (`FailStore` and its kin) and in the testing kit's
models (`model_faults`).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from .fault_model import Count, FaultModel, Seconds, bad_fault
from .model_faults import (
    CutStream,
    DropConnection,
    HangModel,
    HangTool,
    RateLimit,
    Refusal,
    ServerError,
    SlowModel,
    SlowStream,
    WrongAnswer,
)


class ActorFault(FaultModel):
    """A fault of one actor, at one of its messages or at a virtual time."""

    actor: str = "*"
    at_message: Count | None = None
    at_time_s: Seconds | None = None
    #: How often in a row: at that message and the ones after it.
    times: Count = 1

    by_time: ClassVar[bool] = True

    @model_validator(mode="after")
    def _has_one_moment(self) -> Self:
        name = type(self).__name__
        if not self.by_time and self.at_time_s is not None:
            raise bad_fault(
                name, "happens while a message is handled, so needs at_message", self.example
            )
        if (self.at_message is None) == (self.at_time_s is None):
            raise bad_fault(name, "needs either at_message or at_time_s", self.example)
        if self.at_time_s is not None and self.times != 1:
            raise bad_fault(name, "times counts messages, so goes with at_message", self.example)
        return self


class Crash(ActorFault):
    """The handler raises instead of handling the message; at a time: the actor ends with an error."""

    kind: Literal["crash"] = "crash"
    error: str = "injected crash"
    #: Do the message's work first and then crash, as when an acknowledgement is lost.
    after: bool = False
    example: ClassVar[str] = "Crash(actor='worker', at_message=2)"


class Kill(ActorFault):
    """The actor is killed, as by `ref.kill()`, just before it would handle the message."""

    kind: Literal["kill"] = "kill"
    example: ClassVar[str] = "Kill(actor='worker', at_time_s=1.5)"


class Hang(ActorFault):
    """The handler waits for ever; it can be cancelled."""

    kind: Literal["hang"] = "hang"
    by_time: ClassVar[bool] = False
    example: ClassVar[str] = "Hang(actor='worker', at_message=2)"


class Slow(ActorFault):
    """The handler starts to work only after *delay_s*."""

    kind: Literal["slow"] = "slow"
    delay_s: Seconds = 1.0
    by_time: ClassVar[bool] = False
    example: ClassVar[str] = "Slow(actor='worker', at_message=2, delay_s=30)"


class LateAnswer(ActorFault):
    """The work is done at once, and its answer comes *delay_s* later: after the asker's timeout."""

    kind: Literal["late_answer"] = "late_answer"
    delay_s: Seconds = 60.0
    by_time: ClassVar[bool] = False
    example: ClassVar[str] = "LateAnswer(actor='worker', at_message=2, delay_s=60)"


class Garbage(ActorFault):
    """The work is done, and the answer is *value* instead of the right one."""

    kind: Literal["garbage"] = "garbage"
    value: Any = "\ufffdgarbage"
    by_time: ClassVar[bool] = False
    example: ClassVar[str] = "Garbage(actor='worker', at_message=2, value=None)"


class SwallowCancel(ActorFault):
    """The handler works for *delay_s* and ignores every cancellation meanwhile."""

    kind: Literal["swallow_cancel"] = "swallow_cancel"
    delay_s: Seconds = 60.0
    by_time: ClassVar[bool] = False
    example: ClassVar[str] = "SwallowCancel(actor='worker', at_message=2, delay_s=60)"


class BlockLoop(ActorFault):
    """The handler holds the whole loop for *delay_s*: every timer due meanwhile fires late."""

    kind: Literal["block_loop"] = "block_loop"
    delay_s: Seconds = 5.0
    by_time: ClassVar[bool] = False
    example: ClassVar[str] = "BlockLoop(actor='worker', at_message=2, delay_s=5)"


class FillMailbox(ActorFault):
    """*count* messages that mean nothing arrive; they take room and are thrown away in turn."""

    kind: Literal["fill_mailbox"] = "fill_mailbox"
    count: Count = 1000
    example: ClassVar[str] = "FillMailbox(actor='worker', at_time_s=1, count=1000)"


class Noise:
    """A message of `FillMailbox`: takes room, means nothing, is thrown away in its turn."""

    __slots__ = ()


class FailStart(FaultModel):
    """`on_start` raises, at the n-th start of the label and *times* - 1 more."""

    kind: Literal["fail_start"] = "fail_start"
    actor: str = "*"
    at_start: Count = 1
    times: Count = 1
    error: str = "injected start failure"
    example: ClassVar[str] = "FailStart(actor='worker', at_start=2, times=3)"


class LoseNode(FaultModel):
    """Every actor that matches is gone at the same instant, with the reason `noconnection`."""

    kind: Literal["lose_node"] = "lose_node"
    actor: str
    at_time_s: Seconds
    example: ClassVar[str] = "LoseNode(actor='worker*', at_time_s=3)"


class Partition(FaultModel):
    """Messages between the two groups are lost from *at_time_s* for *heal_after_s* seconds."""

    kind: Literal["partition"] = "partition"
    between: str
    other: str = "*"
    at_time_s: Seconds
    heal_after_s: Seconds = 10.0
    example: ClassVar[str] = "Partition(between='worker*', other='root', at_time_s=3)"


class ClockSkew(FaultModel):
    """The clock leaps *by_s* seconds ahead at *at_time_s*, as after a suspended machine wakes."""

    kind: Literal["clock_skew"] = "clock_skew"
    at_time_s: Seconds
    by_s: Seconds = 3600.0
    example: ClassVar[str] = "ClockSkew(at_time_s=3, by_s=3600)"


class StopMachine(FaultModel):
    """The whole process dies, at the n-th step of its loop or at a time; then it boots again.

    What was written but not synced to disk is lost. "Any await" is a step: trying every *at_step*
    of a run kills it at every await.
    """

    kind: Literal["stop_machine"] = "stop_machine"
    at_step: Count | None = None
    at_time_s: Seconds | None = None
    example: ClassVar[str] = "StopMachine(at_step=120)"

    @model_validator(mode="after")
    def _has_one_moment(self) -> Self:
        if (self.at_step is None) == (self.at_time_s is None):
            raise bad_fault("StopMachine", "needs either at_step or at_time_s", self.example)
        return self


class StoreFault(FaultModel):
    """A fault of a store, at the n-th operation of a kind (`*`: of any) and *times* - 1 more."""

    operation: str = "*"
    at_operation: Count = 1
    times: Count = 1


class FailStore(StoreFault):
    """The operation fails with an input/output error and changes nothing."""

    kind: Literal["fail_store"] = "fail_store"
    error: str = "injected store failure"
    example: ClassVar[str] = "FailStore(operation='append', at_operation=3)"


class SlowStore(StoreFault):
    """The operation takes *delay_s*."""

    kind: Literal["slow_store"] = "slow_store"
    delay_s: Seconds = 5.0
    example: ClassVar[str] = "SlowStore(operation='append', at_operation=3, delay_s=5)"


class FillDisk(StoreFault):
    """The operation fails because no room is left, and so do the *times* - 1 after it."""

    kind: Literal["fill_disk"] = "fill_disk"
    example: ClassVar[str] = "FillDisk(at_operation=3, times=5)"


class TornWrite(StoreFault):
    """The machine stops in the middle of the write: a part of it is on disk."""

    kind: Literal["torn_write"] = "torn_write"
    example: ClassVar[str] = "TornWrite(at_operation=3)"


class PowerCut(StoreFault):
    """The machine stops after the write and before its commit is on disk."""

    kind: Literal["power_cut"] = "power_cut"
    example: ClassVar[str] = "PowerCut(at_operation=3)"


Fault = Annotated[
    Crash
    | Kill
    | Hang
    | Slow
    | LateAnswer
    | Garbage
    | SwallowCancel
    | BlockLoop
    | FillMailbox
    | FailStart
    | LoseNode
    | Partition
    | ClockSkew
    | StopMachine
    | FailStore
    | SlowStore
    | FillDisk
    | TornWrite
    | PowerCut
    | RateLimit
    | ServerError
    | DropConnection
    | SlowModel
    | HangModel
    | SlowStream
    | CutStream
    | WrongAnswer
    | Refusal
    | HangTool,
    Field(discriminator="kind"),
]
"""Any fault; JSON tells them apart by `kind`."""
