"""Refuses what would reach the real world past the loop: sockets, child processes, threads.

Python raises audit events for these, and a hook may refuse them. It is installed by the first
simulated run of a process, cannot be taken out again, and does nothing outside simulated runs.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from .blocking import simulating
from .errors import RealIORefused

_NETWORK = "Give the code a fake client, or simulate the other side as an actor or a coroutine."
_PROCESS = "Put a function or an actor in the place of the child process."
_THREAD = (
    "Use asyncio.to_thread, run_in_executor or dispatcher='thread', which run inline here; "
    "SimLoop(allow_threads=True) lets real threads start, and gives up repeatability."
)

_REFUSED = {
    "socket.connect": _NETWORK,
    "socket.bind": _NETWORK,
    "socket.sendto": _NETWORK,
    "socket.getaddrinfo": _NETWORK,
    "socket.gethostbyname": _NETWORK,
    "subprocess.Popen": _PROCESS,
    "os.system": _PROCESS,
    "os.fork": _PROCESS,
    "os.forkpty": _PROCESS,
    "os.exec": _PROCESS,
    "os.posix_spawn": _PROCESS,
    "_thread.start_new_thread": _THREAD,
    "_thread.start_joinable_thread": _THREAD,
}

_installed = False


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event in _REFUSED:
        allowed = simulating()
        if allowed is not None and not (allowed and event.startswith("_thread.")):
            raise RealIORefused(event, _REFUSED[event])


def install() -> None:
    """Install the hook, once in the life of the process."""
    global _installed
    if not _installed:
        _installed = True
        sys.addaudithook(_hook)
        if sys.version_info < (3, 12):
            _guard_threads()


def _guard_threads() -> None:
    """Stand before the start of threads: 3.11 raises no event for them."""
    real: Any = threading._start_new_thread  # type: ignore[attr-defined]

    def start(*args: Any, **kwargs: Any) -> int:
        _hook("_thread.start_new_thread", ())
        return real(*args, **kwargs)  # type: ignore[no-any-return]  # pyright: ignore

    threading._start_new_thread = start  # type: ignore[attr-defined]
