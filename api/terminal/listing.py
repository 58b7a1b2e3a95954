"""A list with a cursor, of which only the lines that are seen are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from rich.console import Console
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from .columns import GAP, Column, widths_of
from .palette import Palette

Row = Mapping[str, Any]
"""What a line is made of; ``key`` tells it apart from the others."""

Cells = Callable[[Row, Palette], Sequence[Text]]


class Listing(ScrollView, can_focus=True):
    """Rows in columns. The cursor stays with its row while the rows change around it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
        Binding("home", "end(0)", "First", show=False),
        Binding("end,G", "end(1)", "Last", show=False),
        Binding("enter", "open", "Open"),
    ]

    class Moved(Message):
        """The cursor is at another row, or at none."""

        def __init__(self, row: Row | None) -> None:
            super().__init__()
            self.row = row

    class Opened(Message):
        """A row was chosen, by Enter or by a click on the one at the cursor."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row = row

    def __init__(self, palette: Palette, *, id: str) -> None:
        super().__init__(id=id)
        self.palette = palette
        self._columns: Sequence[Column] = ()
        self._cells: Cells | None = None
        self._rows: Sequence[Row] = ()
        self._widths: list[int] = []
        self._cursor = 0
        self._key: Any = None
        self._empty = ""

    @property
    def row(self) -> Row | None:
        """The row at the cursor."""
        return self._rows[self._cursor] if self._cursor < len(self._rows) else None

    @property
    def rows(self) -> Sequence[Row]:
        """All rows, in their order."""
        return self._rows

    def of(self, columns: Sequence[Column], cells: Cells) -> None:
        """Show other things: rows of *columns*, each made by *cells*. The cursor begins at the first."""
        self._columns, self._cells = columns, cells
        self._rows, self._cursor, self._key = (), 0, None
        self.scroll_to(y=0, animate=False)
        self._measure()

    def show(self, rows: Sequence[Row], empty: str) -> None:
        """Show *rows*; *empty* says what it means if there are none."""
        before = self.row
        self._rows, self._empty = rows, empty
        place = next((i for i, row in enumerate(rows) if row["key"] == self._key), None)
        self._cursor = place if place is not None else max(0, min(self._cursor, len(rows) - 1))
        self._measure()
        if place is not None and before is not None:
            self._keep_in_sight()
        self._set_key()
        self.refresh()

    # -- the cursor --------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Go up or down."""
        self._go(self._cursor + by)

    def action_page(self, by: int) -> None:
        """Go a screen up or down."""
        self._go(self._cursor + by * max(1, self.size.height - 2))

    def action_end(self, last: int) -> None:
        """Go to the first or the last row."""
        self._go(len(self._rows) - 1 if last else 0)

    def action_open(self) -> None:
        """Open the row at the cursor."""
        if self.row is not None:
            self.post_message(self.Opened(self.row))

    def _go(self, to: int) -> None:
        to = max(0, min(to, len(self._rows) - 1))
        if to != self._cursor:
            self._cursor = to
            self._set_key()
            self.refresh()
        self._keep_in_sight()

    def _set_key(self) -> None:
        key = None if self.row is None else self.row["key"]
        if key != self._key:
            self._key = key
            self.post_message(self.Moved(self.row))

    def _keep_in_sight(self) -> None:
        # The titles cover the first line: a row is in sight if the line above it is.
        region = Region(0, self._cursor, 1, 2)
        self.scroll_to_region(region, animate=False, force=True, x_axis=False)

    def on_click(self, event: events.Click) -> None:
        index = int(self.scroll_offset.y) + event.y - 1
        if event.y < 1 or index >= len(self._rows):
            return
        if index == self._cursor:
            self.action_open()
        else:
            self._go(index)

    # -- lines -------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        self._measure()
        self._keep_in_sight()

    def _measure(self) -> None:
        width = self.scrollable_content_region.width
        self._widths = widths_of(self._columns, max(10, width - 1))
        self.virtual_size = Size(width, len(self._rows) + 1)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one line of what is seen: titles, and rows."""
        palette, width = self.palette, self.scrollable_content_region.width
        ground = Style(color=palette.ink, bgcolor=palette.ground)
        if y == 0:
            titles = [Text(one.title, Style(color=palette.dim, bold=True)) for one in self._columns]
            return self._line(titles, width, ground)
        index = int(self.scroll_offset.y) + y - 1
        if not self._rows and y == 2:
            return self._line_of(Text(f"  {self._empty}", palette.dim), width, ground)
        if index >= len(self._rows) or self._cells is None:
            return Strip.blank(width, ground)
        if index == self._cursor:
            ground = Style(color=palette.ink, bgcolor=palette.chosen, bold=self.has_focus or None)
        return self._line(self._cells(self._rows[index], palette), width, ground)

    def _line(self, cells: Sequence[Text], width: int, ground: Style) -> Strip:
        line = Text(" ")
        for column, size, cell in zip(self._columns, self._widths, cells, strict=True):
            if size:
                cell = cell.copy()
                cell.truncate(size, overflow="ellipsis")
                fill = " " * max(0, size - cell.cell_len)
                line.append_text(
                    Text(fill).append_text(cell) if column.right else cell.append(fill)
                )
                line.append(" " * GAP)
        return self._line_of(line, width, ground)

    def _line_of(self, line: Text, width: int, ground: Style) -> Strip:
        line.end = ""
        console: Console = self.app.console  # pyright: ignore[reportUnknownMemberType]
        return Strip(line.render(console)).adjust_cell_length(width).apply_style(ground)


__all__ = ["Cells", "Listing", "Row"]
