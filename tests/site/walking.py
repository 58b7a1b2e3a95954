"""A stranger in an empty folder: writes the files that a page shows, and types its commands.

python tests/site/walking.py                the tutorial, with this Python
python tests/site/walking.py --fresh        the same in a new environment, into which the checkout is installed
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from shown_blocks import DOCS, ROOT, Block, alike, read_blocks, says

PORT = "8000"
"""What pages serve on. It may be taken here, so that another one is put in its place."""

TUTORIAL = sorted((DOCS / "tutorial").glob("[0-9]*.md"))
EXTRAS = "cli,llm,metrics,observer,testing"


class Astray(AssertionError):
    """A page shows what did not happen."""


class Walk:
    """One folder, and what has been started in it. Used as a context manager."""

    PATIENCE_S = 120.0

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.folder = folder
        self._port = _free_port()
        programs = str(Path(python).parent)
        known = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "CI"))}
        # One stream in the order in which it is written, as a terminal shows it.
        self._env = known | {
            "PATH": f"{programs}{os.pathsep}{known['PATH']}",
            "PYTHONUNBUFFERED": "1",
        }
        self._beside: list[tuple[subprocess.Popen[bytes], Path, int]] = []

    def __enter__(self) -> Walk:
        return self

    def __exit__(self, *_exc: object) -> None:
        for process, _log, _seen in self._beside:
            process.kill()
            process.wait()

    def take(self, block: Block) -> None:
        """Do what *block* shows; raises `Astray` if something else happens."""
        if block.not_run:
            return
        if block.title:
            file = self.folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self._here(block.source), "utf-8")
        elif block.language == "console":
            for command, shown in block.commands():
                said = self._run(command, shown)
                if not says(said, shown):
                    raise Astray(
                        f"{block.place}: $ {command}\n--- shown\n{alike(shown)}--- said\n{alike(said)}"
                    )

    def _run(self, command: str, shown: str) -> str:
        """Run *command*, and return what it prints."""
        if command.endswith(" &"):
            return self._start(command.removesuffix(" &"), shown)
        if command == "kill %1":
            return self._end()
        done = subprocess.run(
            ["bash", "-c", self._here(command)],
            cwd=self.folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=self.PATIENCE_S,
            check=False,
        )
        said = self._there(done.stdout.decode())
        if done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL):
            said += "Killed\n"  # which is what a terminal says
        elif done.returncode != 0 and not shown:
            said += f"(exit code {done.returncode})\n"
        return said

    def _start(self, command: str, shown: str) -> str:
        """Start *command* beside the others, and wait until it has printed what is shown."""
        log = self.folder / f".log-{len(self._beside)}"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {self._here(command)}"],
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self._beside.append((process, log, 0))
        said = ""
        deadline = time.monotonic() + self.PATIENCE_S
        while time.monotonic() < deadline and process.poll() is None:
            said = self._there(log.read_text("utf-8"))
            if says(said, shown):
                break
            time.sleep(0.05)
        self._beside[-1] = (process, log, log.stat().st_size)
        return said

    def _end(self) -> str:
        process, log, seen = self._beside.pop()
        process.terminate()
        process.wait(self.PATIENCE_S)
        return self._there(log.read_bytes()[seen:].decode())

    def _here(self, text: str) -> str:
        return text.replace(PORT, self._port)

    def _there(self, text: str) -> str:
        return text.replace(self._port, PORT)


def _free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def main(arguments: Sequence[str]) -> int:
    """Walk through the tutorial, and say where a page shows what does not happen."""
    with tempfile.TemporaryDirectory() as name:
        folder, python = Path(name), sys.executable
        if "--fresh" in arguments:
            python = f"{folder}/.venv/bin/python"
            subprocess.run([sys.executable, "-m", "venv", folder / ".venv"], check=True)
            install = (
                "-m",
                "pip",
                "install",
                "-q",
                f"{ROOT}[{EXTRAS}]",
                "fastapi",
                "pytest",
                "uvicorn",
            )
            subprocess.run([python, *install], check=True)
        with Walk(folder, python) as walk:
            for page in TUTORIAL:
                began = time.monotonic()
                for block in read_blocks(page):
                    walk.take(block)
                print(f"{page.stem}: as shown, in {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
