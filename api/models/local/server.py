"""A small language model on this machine, as a server that all agents of the process share.

The native server runs in a child process of its own. In this one it would hold the interpreter for
the half second in which it loads, its destructor waits for a generation in progress, and a crash
inside it would take every agent along; a child can be killed, and its death is only a failed
request, after which the next one starts another.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import secrets
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from .weights import LocalModelUnavailable, check_local_model, find_weights

_SCRIPT = Path(__file__).with_name("serve.py")
# Loading takes about half a second from a warm disk; a cold one on a small machine takes longer.
_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 2.0
# What the small model was trained for, shared by the requests that run at the same time.
_CONTEXT_TOKENS = 8192
_PARALLEL = 4


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a running server is reached: OpenAI's format under *base_url*, with *api_key*."""

    base_url: str
    api_key: str


def usable_threads() -> int:
    """Return how many threads the model gets: half of the processors that we may use.

    The native threads wait for each other by spinning, so that one processor too many asked for
    makes a request ten times slower.
    """
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this platform
        count = os.cpu_count() or 1
    return max(1, min(8, count // 2))


class LocalServer:
    """One model's server: started by the first request, shared by all, ended by `close`.

    Safe from any thread; the lock guards the process and its address.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._endpoint: Endpoint | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    async def endpoint(self) -> Endpoint:
        """Return where the server is, having started it off the event loop if it was not running.

        Raises `LocalModelUnavailable` when a package is missing or the server does not come up.
        """
        endpoint = self._endpoint
        if endpoint is not None and self.pid is not None:
            return endpoint
        return await asyncio.to_thread(self.start)

    def start(self) -> Endpoint:
        """Return where the server is, having started it if needed; blocks while the model loads."""
        with self._lock:
            if self._endpoint is not None and self.pid is not None:
                return self._endpoint
            self._end_process()
            check_local_model(self.name)
            self._endpoint = self._start_process(find_weights(self.name))
            return self._endpoint

    def close(self) -> None:
        """End the server, if it runs. The next request starts it again."""
        with self._lock:
            self._end_process()

    def _start_process(self, path: Path) -> Endpoint:
        api_key = secrets.token_urlsafe(16)
        settings = {
            "path": str(path),
            "name": self.name,
            "api_key": api_key,
            "context": _CONTEXT_TOKENS,
            "parallel": _PARALLEL,
            "threads": usable_threads(),
        }
        # -P: this folder's modules are named after libraries and must not be found as them.
        # A session of its own: the Ctrl-C that ends a run in order must not end the model first.
        process = subprocess.Popen(
            [sys.executable, "-P", str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._process = process
        deadline = threading.Timer(_START_TIMEOUT_S, process.kill)
        deadline.daemon = True
        deadline.name = "agenticaiframework-local-model-start"
        deadline.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(settings) + "\n")
                process.stdin.flush()
            except BrokenPipeError:
                pass  # it ended already; the empty answer below says so
            line = process.stdout.readline()
        except BaseException:
            self._end_process()
            raise
        finally:
            deadline.cancel()
            deadline.join()
        said: dict[str, str] = json.loads(line) if line else {}
        if "address" not in said:
            self._end_process()
            why = said.get("error", f"its process ended (exit code {process.returncode}).")
            raise LocalModelUnavailable(f"the server did not start: {why}")
        return Endpoint(f"{said['address']}/v1", api_key)

    def _end_process(self) -> None:
        process, self._process, self._endpoint = self._process, None, None
        if process is None:
            return
        if process.stdin is not None:
            try:
                process.stdin.close()
            except BrokenPipeError:
                pass
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


_servers: dict[str, LocalServer] = {}
_servers_lock = threading.Lock()


def local_server(name: str) -> LocalServer:
    """Return the process's server for the local model *name*; nothing is started yet."""
    with _servers_lock:
        server = _servers.get(name)
        if server is None:
            server = _servers[name] = LocalServer(name)
        return server


def close_local_models() -> None:
    """End every local model's server. Blocks for at most a few seconds; harmless when none runs."""
    with _servers_lock:
        servers = list(_servers.values())
    for server in servers:
        server.close()


atexit.register(close_local_models)
