"""Texts in Mermaid charts."""

from __future__ import annotations

from typing import Final

_MARKS: Final = {
    "#": "#35;",
    '"': "#quot;",
    "<": "#lt;",
    ">": "#gt;",
    "&": "#amp;",
    "|": "#124;",
    "`": "#96;",
    "\n": "<br/>",
}


def mermaid_text(text: str) -> str:
    """Return *text* so that neither Mermaid nor HTML takes a part of it for its own.

    >>> mermaid_text('say "yes" or <no>')
    'say #quot;yes#quot; or #lt;no#gt;'
    """
    return "".join(_MARKS.get(c, c if c.isprintable() else " ") for c in text)
