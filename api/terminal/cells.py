"""What a cell of a list says: text without commands of its own, a state with its sign, a number."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from .figures import count, lasting
from .palette import Palette, colour_of, mark_of


def plain(value: Any, style: str = "") -> Text:
    """Return *value* as one line of text; nothing in it is read as markup."""
    said = "" if value is None else str(value)
    if "\n" in said or "\t" in said:
        said = " ".join(said.split())
    return Text(said, style, no_wrap=True, end="")


def state_cell(state: str, palette: Palette, *, of_actor: bool = False) -> Text:
    """Return a state with its sign, in its colour. An actor that waits is at work; a run that waits is not."""
    at_work = of_actor and state in ("waiting", "running", "ready")
    colour = palette.accent if at_work else colour_of(state, palette)
    return plain(f"{mark_of(state)} {state.replace('_', ' ')}", colour)


def number_cell(number: float | None, palette: Palette, many: float = 1) -> Text:
    """Return a number; 0 is dim, and *many* or more stands out."""
    if not number:
        return plain("–" if number is None else "0", palette.dim)
    return plain(count(number), f"bold {palette.warn}" if number >= many else palette.ink)


def with_node(name: Text, row: Any, palette: Palette) -> Text:
    """Return *name* with the node behind it, for an actor that runs on another one."""
    return name.append(f" on {plain(row['node']).plain}", palette.dim) if row.get("node") else name


def doing_cell(row: Any, palette: Palette) -> Text:
    """Return what is handled and for how long; of a pool how many of how many are busy."""
    said = Text(end="", no_wrap=True)
    if row.get("message"):
        said.append(plain(row["message"], palette.ink).plain)
    if row.get("busy_s") is not None:
        slow = palette.warn if row["busy_s"] >= 5 else palette.accent
        said.append(f" {lasting(row['busy_s'])}" if said.plain else lasting(row["busy_s"]), slow)
    elif row.get("busy"):
        of = f"/{row['concurrency']}" if row.get("concurrency") else ""
        said.append(f"{row['busy']}{of} at work", palette.accent)
    return said


__all__ = ["doing_cell", "number_cell", "plain", "state_cell", "with_node"]
