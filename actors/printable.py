"""The way of every text to a terminal, a file or a browser: nothing that an agent says is a command there."""

from __future__ import annotations

import re
from typing import Final

_COMMANDS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
"""Control characters but for tab and line feed, and what changes the direction of writing."""


def printable(text: object) -> str:
    """Return *text* with the characters that command a terminal as ``\\u001b``.

    >>> printable("\\x1b]0;mine\\x07")
    '\\\\u001b]0;mine\\\\u0007'
    """
    return _COMMANDS.sub(lambda found: f"\\u{ord(found.group()):04x}", str(text))
