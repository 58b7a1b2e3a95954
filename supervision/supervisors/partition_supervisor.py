"""A supervisor of several like children among which the work is divided by a key.

Source: Elixir's PartitionSupervisor.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from typing import Any, cast

from agenticaiframework.actors import Agent, is_coroutine_function

from ..vocabulary.checks import check_count
from ..vocabulary.errors import BadOption
from ..vocabulary.kinds import AutoShutdown
from ..vocabulary.problems import FlagError, FlagProblem
from .agent_supervisor import AgentSupervisor
from .supervised_child import SupervisedChild


def partition_of(key: Any, partitions: int) -> int:
    """Return the partition that *key* belongs to, the same in every process and every run.

    A whole number goes to its remainder; strings, bytes, and tuples and frozensets of these, of None and
    of each other by a checksum. Keys that are equal have the same partition: 1, 1.0 and True, say, and
    frozensets whatever their order. Raises `BadOption` for any other key, also inside a tuple.

    >>> partition_of(7, 4), partition_of("user-1", 4), partition_of("user-1", 4)
    (3, 0, 0)
    >>> partition_of(("tenant", 1), 64) == partition_of(("tenant", True), 64)
    True
    """
    check_count("partition_of", "partitions", partitions, 1, "partition_of('user-1', 8)")
    if isinstance(key, float) and key.is_integer():
        key = int(key)
    if isinstance(key, int):
        return abs(int(key)) % partitions
    if isinstance(key, str):
        return zlib.crc32(key.encode("utf-8", "surrogatepass")) % partitions
    if isinstance(key, bytes):
        return zlib.crc32(key) % partitions
    if isinstance(key, tuple | frozenset):
        return zlib.crc32(_canonical(key, key).encode()) % partitions
    raise _bad_key(key, key)


def _canonical(part: Any, key: Any) -> str:
    """Return the text of *part* of *key*: the same for equal ones, in ASCII."""
    if part is None:
        return "None"
    if isinstance(part, float) and not part.is_integer() and part == part:
        return float.__repr__(part)
    if isinstance(part, int | float) and part == part:
        return int.__repr__(int(part))
    if isinstance(part, str):
        return ascii(str.__str__(part))
    if isinstance(part, bytes):
        return bytes.__repr__(part)
    if isinstance(part, tuple):
        members = [_canonical(one, key) for one in cast("tuple[Any, ...]", part)]
        return f"({members[0]},)" if len(members) == 1 else f"({', '.join(members)})"
    if isinstance(part, frozenset):
        members = sorted(_canonical(one, key) for one in cast("frozenset[Any]", part))
        return f"{{{', '.join(members)}}}"
    raise _bad_key(part, key)


def _bad_key(part: Any, key: Any) -> BadOption:
    whose = "" if part is key else f"{part!r} in "
    return BadOption(
        "PartitionSupervisor",
        f"{whose}the key {key!r} is neither a number nor a string, bytes, or a tuple or frozenset of "
        "these, so it has no partition that every process would find",
        "pool.partition(('tenant', 7))",
    )


class PartitionSupervisor(AgentSupervisor):
    """Runs *partitions* children named "0", "1", ... and finds the one for a key.

        pool = PartitionSupervisor("sessions", lambda number: (Session, number), partitions=8)
        await pool.start()
        answer = await pool.partition("user-1").ask(payload)

    *child* is an Actor class, ``(class, *args)``, a coroutine function, or a function that is called
    with the number of each partition and returns any of what `add_child` takes. Everything else is
    as with `AgentSupervisor`, whose options it takes; but no partition is significant, so there is no
    *auto_shutdown*. Without *partitions* there are as many as the machine has processors.
    """

    def __init__(
        self, name: str, child: Any, partitions: int | None = None, **options: Any
    ) -> None:
        count = (os.cpu_count() or 1) if partitions is None else partitions
        example = f"PartitionSupervisor({name!r}, Worker, partitions=8)"
        check_count("PartitionSupervisor", "partitions", count, 1, example)
        if isinstance(child, Agent):
            raise BadOption(
                "PartitionSupervisor",
                f"{child!r} is one agent, and so one actor; give a function that makes one for each",
                f"PartitionSupervisor({name!r}, lambda number: Agent(f'worker-{{number}}', ...))",
            )
        automatic = options.pop("auto_shutdown", AutoShutdown.NEVER)
        if automatic != AutoShutdown.NEVER:
            error = FlagError(FlagProblem.NO_AUTO_SHUTDOWN, automatic)
            raise BadOption(f"PartitionSupervisor {name!r}", str(error), example, error)
        super().__init__(name, **options)
        self.partitions = count
        made_by: Callable[[int], Any] | None = None
        if callable(child) and not isinstance(child, type) and not is_coroutine_function(child):
            made_by = child
        for number in range(count):
            self.add_child(str(number), child if made_by is None else made_by(number))

    def partition(self, key: Any) -> SupervisedChild:
        """Return the child that *key* belongs to."""
        return self.child(str(partition_of(key, self.partitions)))
