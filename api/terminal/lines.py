"""The lines above a view: which observer it is and how the link is, and what the list is narrowed to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from .asking import Known, Target
from .cells import plain
from .details import actor_shown, gone_shown, item_shown, run_shown
from .link import Link
from .listing import Row
from .palette import Palette
from .views import View, Wish


def top_line(system: str, address: str, link: Link, still: bool, palette: Palette) -> Text:
    """Return what is looked at, and whether what is shown is as it is now."""
    down = link.problem is not None
    line = Text(" ", end="", no_wrap=True, overflow="ellipsis")
    line.append("◉ ", f"bold {palette.bad if down else palette.accent}")
    line.append(plain(system).plain, f"bold {palette.ink}")
    said = "on hold, z goes on" if still and not down else link.said(time.monotonic())
    line.append(f"  {said}", palette.bad if down else palette.warn if still else palette.ok)
    line.append(f"  {address}", palette.dim)
    return line


def context_line(view: View, wish: Wish, answer: Mapping[str, Any], palette: Palette) -> Text:
    """Return what a list is narrowed to; nothing for a list that is as it comes."""
    parts: list[str] = []
    if wish.into:
        path = " ▸ ".join(plain(name).plain for _, name, _ in wish.into)
        start = wish.into[-1][2]
        parts.append(f"{path}{f', from {start:,}' if start else ''} (Esc: back)")
    if view.orders:
        parts.append(f"by {view.orders[wish.order]}")
    if view.onlys and view.onlys[wish.only]:
        parts.append(f"only {view.onlys[wish.only]}")
    if wish.queue:
        parts.append(f"of the queue {plain(wish.queue).plain} (Esc: all)")
    if wish.query:
        parts.append(f"with “{plain(wish.query).plain}” (Esc: all)")
    if "total" in answer and view.name in ("actors", "letters"):
        parts.append(f"{len(answer['rows']):,} of {answer['total']:,}")
    if wish.pages:
        parts.append(f"page {len(wish.pages) + 1} (p: back)")
    if answer.get("next"):
        parts.append("n: next page")
    return Text(" · ".join(parts), palette.soft, end="", no_wrap=True, overflow="ellipsis")


def one_shown(
    target: Target | None, item: Row | None, known: Known, width: int, palette: Palette
) -> RenderableType:
    """Return the one thing that is looked at, as far as it is known, for *width* cells."""
    if target is None:
        return "" if item is None else item_shown(item, palette)
    if known.one_is != target:
        return Text("…", palette.dim)
    if known.one is None:
        return gone_shown(target, known.gone or "It is not there any more", palette)
    if target[0] == "run":
        return run_shown(known.one, known.journal, width, palette)
    return actor_shown(known.one, palette)


__all__ = ["context_line", "one_shown", "top_line"]
