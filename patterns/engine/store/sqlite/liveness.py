"""Whether the owner of runs is dead, sooner than its lease would tell.

A killed process keeps its lease for as long as it lasts, and a recovery that waits for it takes
half a minute instead of half a second. On one machine the operating system knows better: each
owner holds a lock on a file of its own beside the database, and the kernel drops the lock with
the process, whatever killed it. Process ids were the alternative: they are reused, and mean
nothing across containers that share a volume.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

__all__ = ["OwnerLocks", "host_identity"]


def host_identity() -> str:
    """Return a text that is the same for all processes under one running kernel, and only for them."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


class OwnerLocks:
    """The lock files of the owners in this store object, and questions about those of others.

    Owned by the store's writer.
    """

    def __init__(self, database: str) -> None:
        self._database = database
        self._held: dict[int, int] = {}

    def _path(self, owner: int) -> str:
        return f"{self._database}-owner-{owner}"

    def take(self, owner: int) -> None:
        """Hold the lock of *owner* until `drop`, or until the process ends."""
        if sys.platform == "win32":
            return  # The lease alone decides.
        handle = os.open(self._path(owner), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # A file system without locks: the lease alone decides.
            os.close(handle)
            self._remove(owner)
            return
        self._held[owner] = handle

    def is_free(self, owner: int) -> bool:
        """Whether *owner* had a lock and holds it no more. False when that cannot be known."""
        if sys.platform == "win32" or owner in self._held:
            return False
        try:
            handle = os.open(self._path(owner), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        else:
            return True
        finally:
            os.close(handle)

    def drop(self, owner: int) -> None:
        """Let go of the lock of *owner* and remove its file; harmless when there is none."""
        handle = self._held.pop(owner, None)
        self._remove(owner)
        if handle is not None:
            os.close(handle)

    def close(self) -> None:
        """Let go of all locks. The files stay: they tell that their owners are no more."""
        for handle in self._held.values():
            os.close(handle)
        self._held.clear()

    def _remove(self, owner: int) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path(owner))
