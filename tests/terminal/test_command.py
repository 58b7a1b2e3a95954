"""`agenticaiframework observe`, as a process in a terminal of its own."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from .watching import TOKEN, Server

pytest.importorskip("cyclopts")

COMMAND = [sys.executable, "-m", "agenticaiframework", "observe"]


class Terminal:
    """A command with a terminal of its own, and all that it has written to it."""

    def __init__(self, *arguments: str, **env: str) -> None:
        self._screen, inner = pty.openpty()
        env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30", **env}
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=inner, stdout=inner, stderr=inner, env=env
        )
        os.close(inner)
        self.written = b""

    def read(self, until: bytes | None = None) -> bytes:
        """Read until something was written; to the end without it."""
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            if until is not None and until in self.written:
                return self.written
            ready, _, _ = select.select([self._screen], [], [], 0.2)
            if not ready:
                if until is None and self.process.poll() is not None:
                    return self.written
                continue
            try:
                some = os.read(self._screen, 65_536)
            except OSError:  # the other side has closed it
                some = b""
            if not some:
                return self.written
            self.written += some
        raise AssertionError(f"never written: {until!r}")

    def press(self, keys: bytes) -> None:
        os.write(self._screen, keys)

    def end(self) -> int:
        """Return the exit code, once all was read."""
        self.read()
        code = self.process.wait(60)
        os.close(self._screen)
        return code


@pytest.mark.parametrize("ended_by", ["q", "ctrl+c", "SIGTERM"])
def test_the_terminal_is_left_as_it_was(server: Server, ended_by: str) -> None:
    terminal = Terminal(server.url)
    terminal.read(b"shop")
    assert b"\x1b[?1049h" in terminal.written
    if ended_by == "SIGTERM":
        terminal.process.send_signal(signal.SIGTERM)
    else:
        terminal.press(b"q" if ended_by == "q" else b"\x03")
    assert terminal.end() == 0
    last = terminal.written.rpartition(b"\x1b[?1049l")
    assert last[1], "the other screen is left"
    assert b"\x1b[?25h" in terminal.written.rpartition(b"\x1b[?25l")[2], "the cursor is seen"
    assert b"Traceback" not in terminal.written


def test_the_token_comes_from_the_option_or_the_environment(steered: Server) -> None:
    for arguments, env in (
        ((steered.url, "--token", TOKEN), {}),
        ((steered.url,), {"OBSERVER_TOKEN": TOKEN}),
    ):
        terminal = Terminal(*arguments, **env)
        terminal.read(b"shop")
        terminal.press(b"q")
        assert terminal.end() == 0


def test_what_cannot_be_shown_is_said_in_a_sentence(steered: Server) -> None:
    said: list[tuple[int, bytes]] = []
    for url in (steered.url, f"{steered.url}/elsewhere", "http://127.0.0.1:1", "ftp://x"):
        terminal = Terminal(url)
        code = terminal.end()
        assert b"\x1b[?1049h" not in terminal.written
        said.append((code, terminal.written))
    assert [code for code, _ in said] == [1, 1, 1, 2]
    for (_, text), part in zip(
        said,
        (b"--token", b"", b"nothing listens there", b"is not the address of an observer"),
        strict=True,
    ):
        assert part in text.replace(b"\r\n", b" "), text
        assert b"Traceback" not in text


def test_without_a_terminal_it_names_what_programs_can_read(server: Server) -> None:
    done = subprocess.run([*COMMAND, server.url], capture_output=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert f"{server.url}/api/".encode() in done.stderr
