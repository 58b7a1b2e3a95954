"""The states of an actor, as small integers, because every message looks at them.

`_state` says where the actor stands with the ready queue; `_phase` is zero for an actor in plain
service, and otherwise a set of flags that take its turns out of the fast path.
"""

from __future__ import annotations

from typing import Final

IDLE: Final = 0
"""Nothing to do; the next message puts it into the ready queue."""
QUEUED: Final = 1
"""In the ready queue, once."""
RUNNING: Final = 2
"""Its handler is on the stack, or at work in a thread or a process."""
PARKED: Final = 3
"""Its handler's coroutine is suspended."""
HELD: Final = 4
"""Suspended by `ActorSystem.suspend` with work to do."""
ENDED: Final = 5
"""Dead."""
YIELDED: Final = 6
"""Its handler has given the loop a turn, which will wake it; nothing else does before."""

STARTING: Final = 1
"""`on_start` has not succeeded yet."""
STOPPING: Final = 2
"""It handles no message any more: `on_stop` or `on_failure` runs."""
DEAD: Final = 4
DOOMED: Final = 8
"""It has to end: a reason is waiting in `_doom`."""
UNWINDING: Final = 16
"""Its handler has been cancelled, and has not ended yet."""
OFFLOADED: Final = 32
"""Its handlers run in a thread or a process."""
SUSPENDED: Final = 64
"""It handles nothing until resumed (tests)."""
FULL: Final = 256
"""It takes no message out of its mailbox until `handing_on.release`: all that it hands them to are busy."""
ZOMBIE: Final = 128
"""No actor any more: the rest of a handler that did not obey its cancellation."""
