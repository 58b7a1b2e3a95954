"""Makes the pictures of the observer in a terminal anew, as SVG.

python docs/pictures/observer_demo.py 4551 &
python docs/pictures/terminal_pictures.py http://127.0.0.1:4551 [FOLDER [NAME...]]
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from agenticaiframework.terminal import ObserverClient, TerminalObserver

PICTURES = {
    "terminal-overview-dark": ((120, 34), "dark", ""),
    "terminal-tree-light": ((120, 26), "light", "2"),
    "terminal-run-dark": ((120, 34), "dark", "4 f down"),
    "terminal-queues-dark": ((120, 20), "dark", "9"),
    "terminal-narrow-dark": ((60, 26), "dark", "4"),
}
"""Each with its size, its theme, and the keys that are pressed."""

FONT = "Cascadia Mono, Menlo, Consolas, DejaVu Sans Mono, monospace"


async def picture(url: str, size: tuple[int, int], theme: str, keys: str) -> str:
    """Return what is seen after it was live for some seconds, as SVG that loads nothing."""
    app = TerminalObserver(ObserverClient(url), theme=theme)
    async with app.run_test(size=size) as pilot:
        await asyncio.sleep(4)
        for key in keys.split():
            await pilot.press(key)
            await asyncio.sleep(1.5)
        await asyncio.sleep(2)
        svg = app.export_screenshot(title="agenticaiframework observe")
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"@font-face\s*\{[^}]*\}\s*", "", svg)
    return re.sub(r"font-family: *Fira Code[^;]*", f"font-family: {FONT}", svg)


def main(url: str, folder: str = "docs/pictures", *only: str) -> None:
    """Take the pictures; those that are named, or all."""
    for name, (size, theme, keys) in PICTURES.items():
        if only and name not in only:
            continue
        svg = asyncio.run(picture(url, size, theme, keys))
        lines = [line.rstrip() for line in svg.strip().splitlines()]
        (Path(folder) / f"{name}.svg").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
