"""The caller's side of a request to an agent on another node: it serves what the handler there needs.

A handler sends parts of its answer, makes inner steps, and spends on models. Where these go is known
here, in the context of the work, and cannot travel; so the handler's node says what happens, and this
does it, by the same objects that a handler on this node would use. A step's function runs there, but
the journal that decides whether it is to run, and keeps what it returns, is asked here.

Lost: an actor for each such request, which would handle a part later than the answer that follows it;
and a journal of the handler's node, which would be lost with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import Context
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..looks import is_a
from .agent_context import IDEMPOTENCY_KEY, agent_context, given_context
from .agent_usage import open_remote_meter
from .call_words import (
    MakeStep,
    NotSent,
    PartSaid,
    PartsRead,
    RequestBegun,
    RequestEnded,
    Said,
    Spent,
    StateSaid,
    StepCalled,
    StepDropped,
    StepMade,
    Terms,
    Told,
    ToolEnded,
    TurnSaid,
)
from .inner_steps import InnerJournal, on_strand
from .meter import Meter
from .metering import meter_of_work
from .model_events import ModelRequestEnded
from .model_turn import MODEL_TURN, ModelTurn
from .parts import CHUNKS, NoSink
from .remote_turn import answer_here, sent_turn
from .usage import NO_USAGE

if TYPE_CHECKING:
    from ..system.system import ActorSystem

READ_EACH: Final = 32
"""After how many parts that were read the handler's node is told."""


class Remark(Protocol):
    """Says something to the handler's node."""

    def __call__(self, word: Any, error: BaseException | None = None, /) -> None: ...


class CallerSide:
    """Serves one request that is handled on another node. On the loop's thread of this one's system."""

    def __init__(
        self,
        agent: str,
        spec: Any,
        context: Mapping[str, Any] | None,
        variables: Context,
        system: ActorSystem,
    ) -> None:
        self._agent = agent
        self._system = system
        self._variables = variables
        self._context = context
        self._journal: InnerJournal | None = getattr(context, "journal", None)
        sink = None if context is None else context.get(CHUNKS)
        self._sink = None if is_a(sink, NoSink) else sink
        self._spec = spec
        self._turn: ModelTurn | None = None if context is None else context.get(MODEL_TURN)
        self._around = meter_of_work(variables, self._journal)
        self._meter = open_remote_meter(agent, spec, self._around, system)
        self._meters: dict[str, Meter] = {}
        self._handlings: dict[int, Any] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._made: dict[int, asyncio.Future[Any]] = {}
        """The functions that run there, by their steps."""
        self._admitted: set[int] = set()
        self._read = 0

    def terms(self) -> Terms | None:
        """Return what the handler's node is told; None: nothing of the work is with the caller."""
        journal, meter = self._journal, self._meter
        turn = None
        if self._turn is not None:
            turn = sent_turn(self._agent, self._turn, has_model=self._spec is not None)
        if journal is None and meter is None and self._sink is None and turn is None:
            return None
        return Terms(
            streamed=self._sink is not None,
            metered=meter is not None,
            limited=meter is not None and meter.limited,
            path=None if journal is None else getattr(self._context, "path", ""),
            made=bool(getattr(self._context, "made", False)),
            turn=turn,
            outcomes={} if journal is None else dict(journal.outcomes(self._context or {})),
        )

    def noted(self, word: Any, error: BaseException | None, remark: Remark) -> None:
        """Do what the handler's node says."""
        match word:
            case PartSaid(part):
                self._part(part, remark)
            case StepCalled():
                self._step(word, remark)
            case StepMade(id, value):
                self._step_made(id, value, error)
            case TurnSaid(messages):
                if self._turn is not None and self._turn.conversation is not None:
                    self._turn.conversation.add(messages)
            case StateSaid(data):
                if self._turn is not None and self._turn.state is not None:
                    self._turn.state.restore(data)
            case StepDropped(id):
                task = self._tasks.pop(id, None)
                if task is not None:
                    task.cancel()
            case _:
                self._count(word, remark)

    def answer(self, value: Any) -> Any:
        """Return the answer *value* as an agent of this node would give it."""
        return value if self._turn is None else answer_here(self._turn, self._spec, value)

    def over(self) -> None:
        """The request has been answered, or is not waited for any more."""
        tasks, self._tasks = self._tasks, {}
        for task in tasks.values():
            task.cancel()

    # -- parts -------------------------------------------------------------------------------------

    def _part(self, part: Any, remark: Remark) -> None:
        sink = self._sink
        if sink is None:
            return
        reads = hasattr(sink, "on_read")
        if reads and sink.on_read is None:
            # It is read later: the handler is told how far its reader has got.
            post = self._system.scheduler.post_or_call  # its reader may be on another loop
            sink.on_read = lambda: post(self._part_read, remark)
        sink.send(part)
        if not reads:
            self._part_read(remark)

    def _part_read(self, remark: Remark) -> None:
        self._read += 1
        if self._read % READ_EACH == 0:
            remark(PartsRead(self._read))

    # -- what is spent -----------------------------------------------------------------------------

    def _count(self, word: Any, remark: Remark) -> None:
        if is_a(word, Told):
            self._tell(word.event)
            return
        meter = self._meter_of(word.agent)
        if meter is None:
            return
        match word:
            case RequestBegun(_, tool, None):
                # It is sent already: it counts, whatever the limits say.
                meter.count_begun(tool=tool)
            case RequestBegun(_, tool, int(id)):
                self._begin(id, self._admit(id, meter, tool), remark)
            case RequestEnded(_, usage):
                meter.end_request(usage)
            case ToolEnded(_, returned):
                meter.end_tool(returned=returned)
            case NotSent(_, tool, id):
                self._not_sent(id, meter, tool)
            case Spent(_, usage):
                meter.spend(usage)
            case _:
                pass

    def _meter_of(self, agent: str) -> Meter | None:
        """Return the meter of what *agent* spends there; of the handler's own code, the one around it."""
        if agent == self._agent:
            return self._meter
        if not agent:
            return self._around
        meter = self._meters.get(agent)
        if meter is None and self._meter is not None:
            meter = Meter("agent", agent, self._meter)
            meter.totals = (Meter("agent", agent),)  # its sum is with its own node
            self._meters[agent] = meter
        return meter

    async def _admit(self, id: int, meter: Meter, tool: bool) -> None:
        await (meter.admit_tool() if tool else meter.admit_request())
        self._admitted.add(id)

    def _not_sent(self, id: int, meter: Meter, tool: bool) -> None:
        task = self._tasks.pop(id, None)
        if task is not None:
            task.cancel()
        elif id in self._admitted:
            if tool:
                meter.end_tool(returned=False)
            else:
                meter.end_request(NO_USAGE)

    def _tell(self, event: Any) -> None:
        """Publish *event* here, too, by this system's clock."""
        if is_a(event, ModelRequestEnded):
            here = replace(event, started_at=self._system.clock() - event.duration_s)
            self._system.publish(here)
            around = self._around
            if around is not None and around.ledger is not None:
                around.ledger.told(here)

    # -- inner steps -------------------------------------------------------------------------------

    def _step(self, called: StepCalled, remark: Remark) -> None:
        journal, context = self._journal, self._handling(called)
        if journal is None:
            return

        async def make() -> Any:
            """Have the step's function called on its node, in the context that it has here."""
            within: Any = agent_context()
            made = self._made[called.id] = asyncio.get_running_loop().create_future()
            remark(MakeStep(called.id, within[IDEMPOTENCY_KEY], within.path))
            try:
                return await made
            finally:
                self._made.pop(called.id, None)

        # What has an order there has one here: it is the same handling that calls.
        strand = context.strand if called.ordered else object()
        try:
            with on_strand(strand):
                if called.kind == "step":
                    work = journal.step(context.it, called.name, make, (), {})
                elif called.kind == "named":
                    work = journal.named_step(context.it, called.name, make)
                else:
                    work = journal.question(context.it, called.name, called.data, called.group)
        except Exception as error:
            remark(Said(called.id), error)
            return
        self._begin(called.id, work, remark)

    def _handling(self, called: StepCalled) -> Any:
        found = self._handlings.get(called.handling)
        if found is None:
            it: Any = self._context
            if called.fields is not None or it is None:
                it = given_context(dict(called.fields or {}), self._journal, called.path, True)
            found = self._handlings[called.handling] = _Handling(it)
        return found

    def _step_made(self, id: int, value: Any, error: BaseException | None) -> None:
        made = self._made.get(id)
        if made is None or made.done():
            return
        if error is None:
            made.set_result(value)
        else:
            made.set_exception(error)

    # -- what takes a while ------------------------------------------------------------------------

    def _begin(self, id: int, work: Any, remark: Remark) -> None:
        variables = self._variables.copy()
        loop = self._system.loop
        task = loop.create_task(self._answer(id, work, remark), context=variables)
        task.set_name(f"for {self._agent} on another node")
        self._tasks[id] = task

    async def _answer(self, id: int, work: Any, remark: Remark) -> None:
        try:
            value = await work
        except Exception as error:
            remark(Said(id), error)
        else:
            remark(Said(id, value))
        finally:
            self._tasks.pop(id, None)


class _Handling:
    """The context of one handling there, and what its calls are ordered by here."""

    __slots__ = ("it", "strand")

    def __init__(self, it: Any) -> None:
        self.it = it
        self.strand = object()


__all__ = ["CallerSide"]
