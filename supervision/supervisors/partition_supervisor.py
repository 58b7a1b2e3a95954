"""A supervisor of several like children among which the work is divided by a key.

Source: Elixir's PartitionSupervisor.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from typing import Any

from agenticaiframework.actors import Agent, is_coroutine_function

from ..vocabulary.checks import check_count
from ..vocabulary.errors import BadOption
from .agent_supervisor import AgentSupervisor
from .supervised_child import SupervisedChild


def partition_of(key: Any, partitions: int) -> int:
    """Return the partition that *key* belongs to, the same in every process and every run.

    A whole number goes to its remainder; strings, bytes and tuples of these by a checksum.

    >>> partition_of(7, 4), partition_of("user-1", 4), partition_of("user-1", 4)
    (3, 0, 0)
    """
    if isinstance(key, int):
        return abs(key) % partitions
    if isinstance(key, str):
        return zlib.crc32(key.encode()) % partitions
    if isinstance(key, bytes):
        return zlib.crc32(key) % partitions
    if key.__class__ is tuple:
        return zlib.crc32(repr(key).encode()) % partitions
    raise BadOption(
        "PartitionSupervisor",
        f"the key {key!r} is neither a number nor a string, bytes, or a tuple of these",
        "pool.ask(('tenant', 7), payload)",
    )


class PartitionSupervisor(AgentSupervisor):
    """Runs *partitions* children named "0", "1", ... and finds the one for a key.

        pool = PartitionSupervisor("sessions", lambda number: (Session, number), partitions=8)
        await pool.start()
        answer = await pool.partition("user-1").ask(payload)

    *child* is an Actor class, ``(class, *args)``, a coroutine function, or a function that is called
    with the number of each partition and returns any of what `add_child` takes. Everything else is
    as with `AgentSupervisor`, whose options it takes. Without *partitions* there are as many as the
    machine has processors.
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
