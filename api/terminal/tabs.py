"""The line of views: each with its key, and the one that is shown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widgets import Static

from .palette import Palette


class ViewBar(Static):
    """Names the views in one line: closer where that is needed, and the others by their keys alone below that."""

    class Chosen(Message):
        """A view was clicked on."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, titles: Sequence[str], *, id: str) -> None:
        super().__init__(id=id)
        self._titles = titles
        self._ends: list[int] = []

    def show(self, index: int, palette: Palette) -> None:
        """Show that the view *index* is the one."""
        line, self._ends = bar(self._titles, index, self.size.width, palette)
        self.update(line)

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        if at is not None:
            index = next((i for i, end in enumerate(self._ends) if at.x < end), None)
            if index is not None:
                self.post_message(self.Chosen(index))


def bar(titles: Sequence[str], index: int, width: int, palette: Palette) -> tuple[Text, list[int]]:
    """Return the line, and where each view ends in it."""
    room = width - sum(len(title) + 3 for title in titles)
    short = room < 0
    apart = short or room >= 2 * len(titles)
    line, ends = Text(end="", no_wrap=True), list[int]()
    for i, title in enumerate(titles):
        here = i == index
        ground = f" on {palette.chosen}" if here else ""
        line.append(f" {(i + 1) % 10}", f"{palette.accent if here else palette.dim}{ground}")
        if here or not short:
            line.append(f" {title}", f"bold {palette.ink}{ground}" if here else palette.soft)
        if apart:
            line.append(" ", f"{palette.ink}{ground}").append(" ")
        ends.append(line.cell_len)
    return line, ends


__all__ = ["ViewBar", "bar"]
