"""Draws the pictures of the explanations: `python docs/pictures/explanations.py` writes them beside this file.

Each is a function that returns an SVG on white, so that it reads on a light and on a dark page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

HERE = Path(__file__).parent

INK, QUIET, LINE = "#1e293b", "#64748b", "#94a3b8"
WELL, BAD, NEW, STILL = "#dbeafe", "#fecaca", "#bbf7d0", "#f1f5f9"
WELL_EDGE, BAD_EDGE, NEW_EDGE = "#3b82f6", "#dc2626", "#16a34a"


class Sheet:
    """An SVG as it is drawn."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="14">'
            f"<title>{escape(title)}</title><defs>"
            + "".join(
                f'<marker id="tip-{colour[1:]}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
                f'markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" fill="{colour}"/></marker>'
                for colour in (INK, QUIET, BAD_EDGE, NEW_EDGE)
            )
            + f'</defs><rect width="{width}" height="{height}" rx="10" fill="#ffffff"/>'
        )
        self._parts: list[str] = []

    def box(self, x: float, y: float, w: float, h: float, fill: str, edge: str) -> None:
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="8" fill="{fill}" '
            f'stroke="{edge}" stroke-width="1.5"/>'
        )

    def text(
        self, x: float, y: float, words: str, size: int = 14, fill: str = INK, at: str = "middle"
    ) -> None:
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{at}" font-size="{size}" fill="{fill}">'
            f"{escape(words)}</text>"
        )

    def arrow(
        self, x1: float, y1: float, x2: float, y2: float, colour: str = QUIET, *, tip: bool = True
    ) -> None:
        end = f' marker-end="url(#tip-{colour[1:]})"' if tip else ""
        self._parts.append(
            f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="{colour}" stroke-width="1.5"{end}/>'
        )

    def dashes(self, x1: float, y1: float, x2: float, y2: float, colour: str = LINE) -> None:
        self._parts.append(
            f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="{colour}" stroke-dasharray="4 4"/>'
        )

    def svg(self) -> str:
        return "\n".join([self._head, *self._parts, "</svg>", ""])


def strategies() -> str:
    """Return which children each strategy restarts when the second of three fails."""
    sheet = Sheet(760, 300, "Which children are restarted when b fails")
    touched = {"one_for_one": "b", "one_for_all": "abc", "rest_for_one": "bc"}
    for number, (strategy, restarted) in enumerate(touched.items()):
        left = 20 + number * 245
        middle = left + 115
        sheet.text(middle, 34, strategy, 16)
        sheet.box(middle - 55, 50, 110, 34, STILL, LINE)
        sheet.text(middle, 72, "supervisor")
        for place, child in enumerate("abc"):
            x = left + 5 + place * 75
            fails = child == "b"
            edge = BAD_EDGE if fails else NEW_EDGE if child in restarted else WELL_EDGE
            sheet.arrow(middle, 84, x + 35, 118, LINE, tip=False)
            sheet.box(x, 118, 70, 40, BAD if fails else WELL, BAD_EDGE if fails else WELL_EDGE)
            sheet.text(x + 35, 143, f"{child} fails" if fails else child)
            sheet.arrow(x + 35, 158, x + 35, 190, QUIET)
            new = child in restarted
            sheet.box(x, 192, 70, 40, NEW if new else WELL, NEW_EDGE if new else edge)
            sheet.text(x + 35, 217, f"{child} #2" if new else child)
        said = {
            "b": "b alone",
            "abc": "all: c, a stopped; a, b, c started",
            "bc": "b and those behind it",
        }
        sheet.text(middle, 262, said[restarted], 13, QUIET)
    sheet.text(380, 286, "#2 is the second incarnation: fresh state, the same name", 12, QUIET)
    return sheet.svg()


def limit() -> str:
    """Return the failures of a child on a line of time, and the window in which they count."""
    sheet = Sheet(760, 250, "The limit: three restarts in ten seconds")

    def at(second: float) -> float:
        return 60 + second * 52

    sheet.text(380, 32, "RestartPolicy(max_restarts=3, within_seconds=10)", 16)
    sheet.box(at(0), 62, at(10) - at(0), 92, STILL, LINE)
    sheet.text(
        (at(0) + at(10)) / 2,
        82,
        "the ten seconds before the fourth failure, both ends included",
        13,
        QUIET,
    )
    sheet.arrow(at(-0.5), 130, at(12.7), 130, INK)
    for second in range(13):
        sheet.arrow(at(second), 126, at(second), 134, INK, tip=False)
        sheet.text(at(second), 172, f"{second} s", 12, QUIET)
    for second, edge, fill, said in (
        (0, NEW_EDGE, NEW, "restart 1"),
        (4, NEW_EDGE, NEW, "restart 2"),
        (8, NEW_EDGE, NEW, "restart 3"),
        (10, BAD_EDGE, BAD, "one too many"),
    ):
        sheet.box(at(second) - 9, 121, 18, 18, fill, edge)
        sheet.text(at(second), 112, said, 13, edge)
    sheet.text(
        380,
        205,
        "At 10.1 s the failure at 0 s would have left the window, and a restart would be left.",
        13,
    )
    sheet.text(
        380,
        230,
        "The budget is the supervisor's; a child with a policy of its own has its own.",
        13,
        QUIET,
    )
    return sheet.svg()


def lifelines(sheet: Sheet, names: Sequence[tuple[float, str]], foot: float) -> Callable[..., None]:
    """Draw a line for each of *names*, at its place, down to *foot*; return what draws between them."""
    for x, name in names:
        sheet.box(x - 65, 18, 130, 34, STILL, LINE)
        sheet.text(x, 40, name)
        sheet.dashes(x, 52, x, foot)

    def line(y: float, a: float, b: float, words: str, colour: str = INK) -> None:
        sheet.arrow(a, y, b, y, colour)
        sheet.text((a + b) / 2, y - 7, words, 13, colour)

    return line


def ask() -> str:
    """Return the three ways in which an ask ends."""
    sheet = Sheet(760, 330, "The three ends of an ask")
    line = lifelines(sheet, ((110, "the caller"), (380, "mailbox"), (640, "agent")), 312)

    line(86, 110, 376, "ask")
    line(86, 380, 636, "one message at a time")
    line(118, 640, 114, "the answer", NEW_EDGE)
    line(164, 110, 376, "ask")
    line(164, 380, 636, "the handler raises")
    line(196, 640, 114, "AgentFailed, with the cause", BAD_EDGE)
    sheet.text(652, 190, "a crash:", 12, BAD_EDGE, "start")
    sheet.text(652, 206, "restarted", 12, BAD_EDGE, "start")
    line(242, 110, 376, "ask, timeout=2")
    line(242, 380, 636, "no answer in two seconds")
    line(274, 376, 114, "AgentTimeout", BAD_EDGE)
    line(300, 376, 636, "the work is cancelled", QUIET)
    return sheet.svg()


def recovery() -> str:
    """Return a stored run that goes on in another process."""
    sheet = Sheet(760, 360, "A stored run survives the end of its process")
    line = lifelines(sheet, ((120, "process 1"), (380, "store"), (640, "process 2")), 340)

    line(82, 120, 376, "look_up has ended: 40")
    line(114, 120, 376, "approved: yes")
    line(146, 120, 376, "pay_back has begun")
    sheet.box(55, 168, 130, 34, BAD, BAD_EDGE)
    sheet.text(120, 190, "kill -9", 14, BAD_EDGE)
    line(222, 380, 636, "the journal of a run without an engine")
    sheet.text(652, 226, "look_up: known", 12, QUIET, "start")
    sheet.text(652, 242, "approved: known", 12, QUIET, "start")
    sheet.box(575, 256, 130, 34, NEW, NEW_EDGE)
    sheet.text(640, 278, "pay_back again", 14)
    sheet.text(562, 278, "under the same key", 12, QUIET, "end")
    line(320, 640, 384, "pay_back has ended", NEW_EDGE)
    return sheet.svg()


PICTURES: Mapping[str, Callable[[], str]] = {
    "ask.svg": ask,
    "limit.svg": limit,
    "recovery.svg": recovery,
    "strategies.svg": strategies,
}


if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (HERE / name).write_text(draw(), "utf-8")
