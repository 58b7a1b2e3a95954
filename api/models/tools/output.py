"""What the process of an MCP server says beside its answers, and which process it is."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final, TextIO

from agenticaiframework.actors import ActorSystem

from .launch import PID_MARK

_KEPT: Final = 2_000
"""Characters of what a server wrote last that are kept for errors."""


class ServerOutput:
    """What a server writes to its standard error: into the log, and the last of it is kept.

    First the launcher says there which process it is. The end of it is the end of the server: *ended*
    is called then. Owned by the loop's thread.
    """

    def __init__(self, label: str, system: ActorSystem, ended: Callable[[], object]) -> None:
        self._log = system.log.bind(server=label)
        self._loop = system.loop
        self._ended = ended
        self.last = ""
        self._pid: int | None = None
        read, write = os.pipe()
        os.set_blocking(read, False)
        self._read: int | None = read
        self.file: TextIO = os.fdopen(write, "w")
        self._loop.add_reader(read, self._take)

    def look(self) -> None:
        """Take what has been written by now: the end of a server is known then, before the loop tells it."""
        while self._take():
            pass

    def _take(self) -> bool:
        """Take what is there, and return whether there may be more."""
        if self._read is None:
            return False
        try:
            data = os.read(self._read, 65_536)
        except BlockingIOError:
            return False
        if not data:
            self.close()
            self._ended()
            return False
        text = data.decode(errors="replace")
        if text.startswith(PID_MARK):
            pid, _, text = text.removeprefix(PID_MARK).partition("\n")
            self._pid = int(pid)
        self.last = (self.last + text)[-_KEPT:]
        for line in text.splitlines():
            self._log.trace("{}", line)
        return True

    def started(self) -> None:
        """The server has its own end of the pipe: close ours, so that its end can be seen."""
        self.file.close()

    def kill(self) -> None:
        """End the server's process, and those that it has started in its group, at once."""
        pid = self._pid
        if pid is None:
            return
        try:
            # Only as long as it has not been waited for: after that its number may be another's.
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                os.killpg(pid, signal.SIGKILL)
        except (ChildProcessError, ProcessLookupError, PermissionError):
            pass

    def close(self) -> None:
        """Read no further."""
        self.file.close()
        read, self._read = self._read, None
        if read is not None:
            self._loop.remove_reader(read)
            os.close(read)


__all__ = ["ServerOutput"]
