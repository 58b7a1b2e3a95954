"""Tables for notebooks: what an object shows of itself as HTML, with everything in it escaped.

Without colours of their own but for states, because a notebook may be light or dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

MOST_CHARACTERS: Final = 300
"""Of a cell; what is longer is cut, and said to be."""

_COLOURS: Final = {
    "abandoned": "#c5221f",
    "blocked": "#e37400",
    "cancelled": "#7b1fa2",
    "completed": "#188038",
    "cooling down": "#e37400",
    "failed": "#c5221f",
    "gave up": "#c5221f",
    "interrupted": "#e37400",
    "restarting": "#e37400",
    "running": "#1a73e8",
    "timed out": "#c5221f",
    "waiting": "#b08000",
}


def html_table(
    title: str,
    head: Sequence[str],
    rows: Iterable[Sequence[Any]],
    note: str = "",
) -> str:
    """Return a table as HTML: the *title* above it, *note* below. Cells are texts, or made ones.

    >>> html_table("<a>", ["name"], [["b & c"]]).count("&lt;a&gt;")
    1
    """
    head_cells = "".join(
        f'<th style="text-align:left;padding:2px 12px 2px 0">{escape(cell)}</th>' for cell in head
    )
    body = "".join(
        "<tr>"
        + "".join(
            '<td style="text-align:left;vertical-align:top;padding:2px 12px 2px 0;'
            f'white-space:pre-wrap">{_cell(cell)}</td>'
            for cell in row
        )
        + "</tr>"
        for row in rows
    )
    below = f"<div><small>{escape(_cut(note))}</small></div>" if note else ""
    return (
        f"<div><strong>{escape(_cut(title))}</strong>"
        f"<table><thead><tr>{head_cells}</tr></thead><tbody>{body}</tbody></table>{below}</div>"
    )


class HtmlState(str):
    """A state as a cell: with its colour."""

    __slots__ = ()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = escape(_cut(str(value)))
    if isinstance(value, HtmlState):
        colour = _COLOURS.get(str(value).replace("_", " "), "currentColor")
        return f'<span style="color:{colour}">●</span> {text}'
    return text


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 3] + "..."
