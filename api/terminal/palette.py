"""The colours: two themes with the colours of the observer's pages, and what each thing is painted with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from textual.theme import Theme

DARK: Final = "observer-dark"
LIGHT: Final = "observer-light"


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours by what they say."""

    ink: str
    soft: str
    dim: str
    line: str
    accent: str
    ok: str
    warn: str
    bad: str
    ground: str
    paper: str
    chosen: str


PALETTES: Final[Mapping[str, Palette]] = {
    DARK: Palette(
        ink="#e6e9f0", soft="#b3bbcc", dim="#8d96aa", line="#272d3a", accent="#8f9af5",
        ok="#4cc38a", warn="#e0a83e", bad="#f2766b", ground="#0f1218", paper="#161a22",
        chosen="#2a3150",
    ),
    LIGHT: Palette(
        ink="#1b1f2a", soft="#475067", dim="#5f6880", line="#d5d9e3", accent="#4350c9",
        ok="#117a52", warn="#8a5700", bad="#b92b24", ground="#f6f7f9", paper="#ffffff",
        chosen="#dfe2fa",
    ),
}  # fmt: skip


def themes() -> list[Theme]:
    """Return the two themes."""
    return [
        Theme(
            name=name,
            primary=colours.accent,
            secondary=colours.accent,
            accent=colours.accent,
            foreground=colours.ink,
            background=colours.ground,
            surface=colours.paper,
            panel=colours.paper,
            success=colours.ok,
            warning=colours.warn,
            error=colours.bad,
            dark=name == DARK,
            variables={
                "line": colours.line,
                "dim": colours.dim,
                "soft": colours.soft,
                "chosen": colours.chosen,
                "footer-background": colours.paper,
                "footer-key-foreground": colours.accent,
                "footer-description-foreground": colours.soft,
                "input-cursor-background": colours.accent,
                "border": colours.line,
                "scrollbar": colours.line,
                "scrollbar-background": colours.ground,
                "scrollbar-corner-color": colours.ground,
                "scrollbar-hover": colours.dim,
                "scrollbar-active": colours.accent,
                "scrollbar-background-hover": colours.ground,
                "scrollbar-background-active": colours.ground,
            },
        )
        for name, colours in PALETTES.items()
    ]


def theme_here(environment: Mapping[str, str] = os.environ) -> str:
    """Return the theme that fits this terminal, by what it says of its colours; dark if it says nothing.

    >>> theme_here({"COLORFGBG": "0;15"}), theme_here({})
    ('observer-light', 'observer-dark')
    """
    ground = environment.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT if ground in ("7", "15") else DARK


GOOD: Final = frozenset({"completed", "ok", "succeeded", "running", "up"})
TROUBLED: Final = frozenset(
    {
        "failed", "gave_up", "error", "blocked", "failing", "dead", "start_error", "shutdown",
        "cooling_down", "handler_failed", "loop_blocked", "lost", "down",
    }
)  # fmt: skip
CAREFUL: Final = frozenset(
    {
        "waiting", "degraded", "warning", "restarting", "suspended", "full", "interrupted",
        "compensating", "cancelling", "stopping", "deciding", "child_terminated", "exit",
        "model_error", "timed_out", "retrying",
    }
)  # fmt: skip

MARKS: Final[Mapping[str, str]] = {
    "completed": "✔", "ok": "✔", "failed": "✘", "gave_up": "✘", "blocked": "■", "dead": "✘",
    "waiting": "◔", "running": "●", "idle": "○", "ready": "◍", "full": "◉", "suspended": "‖",
    "restarting": "↻", "cooling_down": "❄", "cancelled": "⊘", "interrupted": "⋯", "pending": "·",
    "starting": "↥", "stopping": "↧", "cancelling": "⊘", "compensating": "↶", "degraded": "▲",
    "skipped": "⤼", "stopped": "◌", "deciding": "?", "up": "●", "down": "✘",
}  # fmt: skip
"""A sign beside each state, so that colour is never all that tells it."""


def colour_of(state: str, palette: Palette) -> str:
    """Return the colour of a state, a level or a kind of event."""
    state = state.replace(" ", "_")
    if state in TROUBLED:
        return palette.bad
    if state in CAREFUL:
        return palette.warn
    if state in GOOD:
        return palette.ok
    return (
        palette.dim
        if state in ("idle", "cancelled", "skipped", "pending", "stopped")
        else palette.soft
    )


def mark_of(state: str) -> str:
    """Return the sign of a state."""
    return MARKS.get(state.replace(" ", "_"), "·")


__all__ = ["DARK", "LIGHT", "PALETTES", "Palette", "colour_of", "mark_of", "theme_here", "themes"]
