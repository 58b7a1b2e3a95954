"""Makes `docs/terminal.svg`: what `agenticaiframework run` shows in a terminal, in the middle of a run.

A project with scripted answers runs in a pseudo-terminal, whose screen pyte keeps (``pip install pyte``)
and rich draws: ``python docs/terminal.py``.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import pty
import re
import struct
import sys
import tempfile
import termios
from pathlib import Path
from typing import Any

COLUMNS, ROWS = 92, 19
SHOWN = "measured"
"""The word that is on the screen when the picture is taken."""

PROJECT = """
name: rivers
agents:
  researcher: {model: scripted, instructions: Find sources, tools: ["search_of_the_page:search"]}
  writer: {model: scripted, instructions: Write a report}
  reviewer: {model: scripted, instructions: Review it}
workflow:
  name: rivers
  steps:
    - {id: research, agent: researcher, input: {topic: $input.query}}
    - {id: write, agent: writer, input: {facts: $research}}
    - {id: review, agent: reviewer, input: {draft: $write}}
"""

TOOLS = '''
def search(query: str) -> list[str]:
    """Search for sources."""
    return ["Einstein 1926", "Leopold and Wolman 1966"]
'''

REPORT = (
    "Rivers bend because the water on the outside of a curve runs faster than on the inside. It takes "
    "soil away there and lays it down on the other side, so that every small bend grows. Einstein "
    "explained it in 1926 with the tea leaves in a cup; Leopold and Wolman measured it in 1966."
)


def child(folder: Path) -> int:
    """Run the project, slowly enough to be seen."""
    import asyncio

    from agenticaiframework.cli import main
    from agenticaiframework.testing import scripted_model

    async def words(text: str) -> Any:
        for word in text.split():
            await asyncio.sleep(0.02)
            yield f"{word} "

    def answer(request: Any) -> Any:
        if request.agent == "researcher" and not request.results:
            return request.call("search", query="why rivers bend")
        return words(REPORT)

    with scripted_model(answer):
        return main(["run", str(folder / "project.yaml"), "-i", "query=Why do rivers bend?"])


def screen_of(folder: Path) -> Any:
    """Return the screen of the terminal as soon as `SHOWN` is on it."""
    pyte = importlib.import_module("pyte")
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
        os.execv(sys.executable, [sys.executable, __file__, str(folder)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    while not any("writer" in line for line in screen.display) or not any(
        SHOWN in line for line in screen.display if "write says" not in line
    ):
        stream.feed(os.read(terminal, 4096))
    os.close(terminal)
    os.waitpid(pid, 0)
    return screen


def draw(screen: Any, file: Path) -> None:
    """Write the picture of *screen* to *file*."""
    import io

    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(
        Text("$ agenticaiframework run rivers.yaml -i query='Why do rivers bend?'", "bold")
    )
    lines = [
        [screen.buffer[row][column] for column in range(COLUMNS)] for row in range(screen.lines)
    ]
    while lines and not "".join(each.data for each in lines[-1]).strip():
        lines.pop()
    for line in lines:
        text = Text()
        for each in line:
            colour = "" if each.fg == "default" else each.fg.replace("brown", "yellow")
            kinds = [kind for kind in ("bold", "italics") if getattr(each, kind)]
            style = " ".join([colour, *kinds]).replace("italics", "italic").strip()
            text.append(each.data, style)
        text.rstrip()
        console.print(text)
    svg = console.export_svg(title="agenticaiframework run", unique_id="terminal")
    # Fonts of other hosts are left out: a picture in a page may load nothing.
    file.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL), "utf-8")


def main() -> None:
    """Make the picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "project.yaml").write_text(PROJECT, "utf-8")
        (folder / "search_of_the_page.py").write_text(TOOLS, "utf-8")
        draw(screen_of(folder), Path(__file__).with_name("terminal.svg"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(child(Path(sys.argv[1])))
    main()
