"""Debian's chromium without a window, steered by its own protocol over two pipes: no driver, no port.

apt-get install chromium
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-extensions", "--disable-dev-shm-usage", "--hide-scrollbars"),
)
ANSWER_S: Final = 60.0
"""So long may one command of the protocol take."""


class BrowserFailed(Exception):
    """The browser refused a command, or ended."""


class Browser:
    """One page of a browser. For one thread, which waits for each answer."""

    def __init__(self, pid: int, write: int, read: int) -> None:
        self.pid = pid
        self._write = write
        self._read = read
        self._buffer = b""
        self._last = 0
        self._complaints: list[str] = []
        target = self._send("Target.createTarget", {"url": "about:blank"}, None)["targetId"]
        attached = self._send("Target.attachToTarget", {"targetId": target, "flatten": True}, None)
        self._session: str = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the result of a command of the protocol. Raises BrowserFailed."""
        return self._send(method, params, self._session)

    def show(self, url: str, size: tuple[int, int, float], theme: str) -> None:
        """Open *url* in a window of that width, height and density, ``light`` or ``dark``."""
        width, height, scale = size
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=width < 600,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.command("Emulation.setEmulatedMedia", features=features)
        self.command("Page.navigate", url=url)
        # The page that is left answers until the new one is there.
        self.until(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def until(self, condition: str, within_s: float = 30.0) -> bool:
        """Wait until *condition* holds in the page; return whether it does."""
        ends_at = time.monotonic() + within_s
        while time.monotonic() < ends_at:
            try:
                if self.script(condition):
                    return True
            except BrowserFailed:
                pass  # the page is just being replaced
            time.sleep(0.02)
        return False

    def script(self, expression: str) -> Any:
        """Return what *expression* is in the page; a promise is waited for."""
        answer = self.command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise BrowserFailed(json.dumps(answer["exceptionDetails"])[:1_000])
        return answer["result"].get("value")

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press and release a key, such as ``Tab``, ``Enter`` or ``/``."""
        code = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}.get(key, ord(key[0]))
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        common = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.command("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.command("Input.dispatchKeyEvent", type="keyUp", **common)

    def picture(self) -> bytes:
        """Return what is seen, as PNG."""
        return base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"])

    def complaints(self) -> list[str]:
        """Return what the console was told since the last time: refused styles and scripts, errors."""
        self.command("Runtime.evaluate", expression="0")
        found, self._complaints = self._complaints, []
        return found

    def _send(self, method: str, params: dict[str, Any], session: str | None) -> dict[str, Any]:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        ends_at = time.monotonic() + ANSWER_S
        while True:
            answer = self._next(ends_at)
            if answer.get("id") != self._last:
                self._hear(answer)
            elif "error" in answer:
                raise BrowserFailed(f"{method}: {answer['error'].get('message')}")
            else:
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self, ends_at: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left = ends_at - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                raise BrowserFailed(f"The browser has not answered in {ANSWER_S:g} s.")
            more = os.read(self._read, 1 << 16)
            if not more:
                raise BrowserFailed("The browser has ended.")
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        return found

    def _hear(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Log.entryAdded":
            entry = params["entry"]
            self._complaints.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}")
        elif event.get("method") == "Runtime.exceptionThrown":
            self._complaints.append(f"exception: {json.dumps(params['exceptionDetails'])[:500]}")
        elif event.get("method") == "Runtime.consoleAPICalled" and params["type"] != "log":
            said = " ".join(str(one.get("value", "")) for one in params["args"])
            self._complaints.append(f"{params['type']}: {said}")


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser with an empty profile, and end it. Raises FileNotFoundError without chromium."""
    path = shutil.which("chromium")
    if path is None:
        raise FileNotFoundError("There is no chromium here: apt-get install chromium")
    # The protocol is spoken over the descriptors 3 and 4 of the browser; ours are kept above them.
    theirs_in, write = _raised(os.pipe())
    read, theirs_out = _raised(os.pipe())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        pid = os.posix_spawn(
            path,
            [path, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"],
            {**os.environ, "HOME": profile},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs_in, 3),
                (os.POSIX_SPAWN_DUP2, theirs_out, 4),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            setpgroup=0,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Browser(pid, write, read)
        finally:
            # The whole group: a renderer that outlives the browser would write into the profile.
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(write)
            os.close(read)


def _raised(pair: tuple[int, int]) -> tuple[int, int]:
    raised = tuple(fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in pair)
    for one in pair:
        os.close(one)
    return raised[0], raised[1]
