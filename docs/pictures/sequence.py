"""Draws the Mermaid sequence diagrams that the simulation writes beside a failure as SVG, offline.

It reads what the library writes (`sequence_diagram`): participants, three kinds of arrows, notes, and the
red ground of faults. ``python docs/pictures/sequence.py < failure.mmd``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from explanations import BAD, BAD_EDGE, INK, LINE, QUIET, STILL, WELL, WELL_EDGE, Sheet
from flowchart import LETTER, text_of

ROW, HEAD, MARGIN, APART = 26, 48, 24, 128
"""The height of a line, of the names above, the space around, and from one lifeline to the next."""

_TITLE = re.compile(r"^title: (?P<title>.*)$")
_WHO = re.compile(r"^participant (?P<id>\w+) as (?P<name>.*)$")
_ARROW = re.compile(r"^(?P<a>\w+)(?P<arrow>-->>|->>|-\))(?P<b>\w+): (?P<said>.*)$")
_NOTE = re.compile(r"^Note over (?P<over>\w+(?:,\w+)?): (?P<said>.*)$")
_SMALL = 12


def plain(text: str) -> str:
    return " ".join(text_of(text))


def short(text: str, width: float) -> str:
    """Return *text* as it fits into *width* pixels of small letters."""
    most = max(6, int(width / (LETTER * 0.86)))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def lines_of(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.strip() not in ("", "---", "sequenceDiagram"):
            yield line.strip()


def draw(text: str, title: str = "") -> str:
    """Return the sequence diagram *text* as SVG; raises ValueError for a line that it does not know."""
    names: dict[str, str] = {}
    rows: list[tuple[str, re.Match[str], bool]] = []
    fault = False
    for line in lines_of(text):
        if found := _WHO.match(line):
            names[found["id"]] = plain(found["name"])
        elif found := _TITLE.match(line):
            title = plain(found["title"])
        elif found := _ARROW.match(line):
            rows.append(("arrow", found, fault))
        elif found := _NOTE.match(line):
            rows.append(("note", found, fault))
        elif line.startswith("rect ") or line == "end":
            fault = line != "end"
        else:
            raise ValueError(f"not a line of a sequence diagram: {line}")
    width = 2 * MARGIN + APART * len(names)
    foot = MARGIN + HEAD + ROW * len(rows) + ROW
    sheet = Sheet(width, foot + 8, title)
    at = {who: MARGIN + APART * (place + 0.5) for place, who in enumerate(names)}
    for who, x in at.items():
        sheet.dashes(x, MARGIN + HEAD - 14, x, foot - 6)
        sheet.box(x - APART / 2 + 5, MARGIN, APART - 10, 30, WELL, WELL_EDGE)
        sheet.text(x, MARGIN + 20, short(names[who], APART - 16), _SMALL)
    for number, (kind, found, red) in enumerate(rows):
        y = MARGIN + HEAD + ROW * (number + 0.5)
        if kind == "arrow":
            _arrow(sheet, at, found, y)
        else:
            _note(sheet, at, found, y, width, red)
    return sheet.svg()


def _arrow(sheet: Sheet, at: dict[str, float], found: re.Match[str], y: float) -> None:
    start, end = at[found["a"]], at[found["b"]]
    said = short(plain(found["said"]), max(abs(end - start) - 12, APART - 12))
    colour = INK if found["arrow"] == "->>" else QUIET
    if start == end:
        sheet.text(start + 8, y + 4, said, _SMALL, colour, at="start")
        return
    if found["arrow"] == "-->>":
        sheet.dashes(start, y + 6, end, y + 6)
        sheet.arrow(end + (10 if start > end else -10), y + 6, end, y + 6, QUIET)
    else:
        sheet.arrow(start, y + 6, end, y + 6, colour)
    sheet.text((start + end) / 2, y + 1, said, _SMALL, colour)


def _note(
    sheet: Sheet, at: dict[str, float], found: re.Match[str], y: float, width: float, red: bool
) -> None:
    over = [at[who] for who in found["over"].split(",")]
    said = plain(found["said"])
    if len(over) == 2 and not red:  # the time, over all
        sheet.arrow(MARGIN, y, width - MARGIN, y, LINE, tip=False)
        sheet.box(MARGIN, y - 9, len(said) * LETTER + 10, 18, STILL, LINE)
        sheet.text(MARGIN + 6, y + 4, said, _SMALL, QUIET, at="start")
        return
    x, wide = over[0], len(said) * LETTER * 0.92 + 14
    left = min(max(MARGIN / 2, x - wide / 2), width - MARGIN / 2 - wide)
    sheet.box(left, y - 10, wide, 20, BAD if red else STILL, BAD_EDGE if red else LINE)
    sheet.text(left + wide / 2, y + 4, said, _SMALL)


if __name__ == "__main__":
    print(draw(sys.stdin.read()))
