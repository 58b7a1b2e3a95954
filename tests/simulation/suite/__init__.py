"""The properties that every layer is held to under simulation; see `SUITE`."""

from agenticaiframework.actors.simulation import (
    ACTOR_FAULTS,
    STORE_FAULTS,
    BlockLoop,
    Crash,
    FailStart,
    Faults,
    FillMailbox,
    Garbage,
    Hang,
    Kill,
    LateAnswer,
    LoseNode,
    Partition,
    Slow,
    StopMachine,
    SwallowCancel,
)

from .callers import callers
from .chains import chains
from .deploys import deploys
from .ends import ends
from .entry import Entry
from .expected import expected_errors
from .giving_up import giving_up
from .handlers import handlers
from .in_memory import in_memory
from .inner import inner_steps
from .messages import bounded_mailboxes, messages, stashing, timers, told_messages_are_accounted_for
from .names import names
from .nested import nested
from .outages import outages
from .patterns import patterns
from .pools import pools
from .questions import questions
from .queues import queues
from .schedules import schedules
from .sessions import own_messages
from .signals import signals
from .streams import streams
from .supervision import kept_messages, rules_of_trees, trees
from .tasks import tasks
from .threads import threads
from .waiting import waiting
from .workflows import workflows

_THAT_END = Faults(
    kinds=tuple(k for k in ACTOR_FAULTS if k not in (Hang, Partition, Garbage, FillMailbox)),
    library=True,
)
"""Faults after which whatever was sent is handled sooner or later."""

_ON_TREES = Faults(
    kinds=(Crash, Kill, Slow, SwallowCancel, BlockLoop, FailStart, LoseNode), library=True
)
_ON_AGENTS = Faults(kinds=(Crash, Kill, Slow, SwallowCancel, BlockLoop, LateAnswer), actor="agent*")

_ON_LIMITS = Faults(kinds=(Crash, Kill, FailStart, BlockLoop), actor="agent*")

_ON_WAITING = Faults(kinds=(Crash, Kill, Slow, LateAnswer), actor="agent*")

_ON_THREADS = Faults(kinds=(Crash, Kill, Slow, BlockLoop, LateAnswer), library=True)
_ON_ADDERS = Faults(
    kinds=(Crash, Kill, Slow, BlockLoop, LateAnswer, SwallowCancel), actor="Worker*"
)

_ON_TASKS = Faults(kinds=(Crash, Kill, Slow, BlockLoop, SwallowCancel), library=True)

_ON_ENGINES = Faults(
    kinds=(*STORE_FAULTS, StopMachine, StopMachine, Crash, Kill, Slow, BlockLoop),
    actor="Worker*",
)

_ON_HANDLERS = Faults(
    kinds=(*STORE_FAULTS, StopMachine, StopMachine, Crash, Kill, Slow, BlockLoop), actor="agent-*"
)

_ON_PATTERNS = Faults(
    kinds=(Crash, Kill, Hang, Slow, LateAnswer, SwallowCancel, BlockLoop), actor="agent-*"
)

_ON_CALLERS = Faults(
    kinds=(Crash, Kill, Slow, BlockLoop, LateAnswer, SwallowCancel), actor="agent-*"
)

_ON_NAMES = Faults(kinds=(Crash, Kill, Slow, BlockLoop), actor="agent-*")

SUITE: tuple[Entry, ...] = (
    Entry(signals, _THAT_END, {"limit_s": 100_000}, weight=3),
    Entry(messages, checks=(told_messages_are_accounted_for,), weight=3),
    Entry(ends, options={"limit_s": 20_000}, weight=2),
    Entry(stashing),
    Entry(bounded_mailboxes),
    Entry(timers),
    Entry(chains),
    Entry(handlers, weight=2),
    Entry(callers, _ON_CALLERS, {"limit_s": 100_000}, weight=2),
    Entry(waiting, _ON_WAITING, {"limit_s": 100_000}, weight=3),
    Entry(threads, _ON_THREADS, {"limit_s": 100_000}, weight=2),
    Entry(trees, _ON_TREES, {"limit_s": 100_000}, (rules_of_trees,), weight=4),
    Entry(tasks, _ON_TASKS, {"limit_s": 100_000}, weight=2),
    Entry(kept_messages, _ON_AGENTS, {"limit_s": 100_000}, weight=2),
    Entry(
        own_messages,
        Faults(kinds=(Crash, Kill, Slow, BlockLoop), actor="session"),
        {"limit_s": 100_000},
    ),
    Entry(expected_errors, _ON_AGENTS, {"limit_s": 100_000}, weight=2),
    Entry(giving_up, _ON_LIMITS, {"limit_s": 100_000}, weight=2),
    Entry(pools, _ON_AGENTS, {"limit_s": 200_000}, weight=2),
    Entry(patterns, _ON_PATTERNS, {"limit_s": 100_000}, weight=2),
    Entry(names, _ON_NAMES, {"limit_s": 100_000}),
    Entry(in_memory, _ON_ADDERS, {"limit_s": 100_000}, weight=2),
    Entry(workflows, _ON_ENGINES, {"limit_s": 100_000}, weight=2),
    Entry(deploys, Faults(kinds=(StopMachine,)), {"limit_s": 100_000}),
    Entry(queues, Faults(kinds=(*STORE_FAULTS, StopMachine, StopMachine)), {"limit_s": 100_000}),
    Entry(nested, _ON_ENGINES, {"limit_s": 100_000}, weight=2),
    Entry(outages, None, {"limit_s": 100_000}, weight=2),
    Entry(schedules, Faults(kinds=(StopMachine,)), {"limit_s": 100_000}),
    Entry(inner_steps, _ON_HANDLERS, {"limit_s": 100_000}, weight=2),
    Entry(questions, _ON_HANDLERS, {"limit_s": 100_000}, weight=2),
    Entry(streams, _ON_ENGINES, {"limit_s": 100_000}),
)
"""Every property, in the order of the layers."""

__all__ = ["SUITE", "Entry"]
