"""Halves of surrogate pairs, which JSON can say and no text in UTF-8 can hold.

A provider that sends one, or each half of a pair in a delta of its own, has said a text all the same:
its halves are joined, and one that stays alone becomes U+FFFD, so that the answer can be stored, sent
on, and be part of the next request.
"""

from __future__ import annotations

from typing import Any

from pydantic_ai.messages import ModelResponse


def whole(text: str) -> str:
    """Return *text* with its pairs joined, and U+FFFD for each half that stands alone.

    >>> whole("a" + chr(0xD83D) + chr(0xDE00)) == "a" + chr(0x1F600)
    True
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def ends_in_half(text: str) -> bool:
    """Tell whether *text* ends with what may be the first half of a pair."""
    return "\ud800" <= text[-1:] <= "\udbff"


def make_whole(response: ModelResponse) -> None:
    """Replace the halves in the texts of *response*, in place."""
    for part in response.parts:
        each: Any = part
        for name in ("content", "args"):
            said = getattr(each, name, None)
            if isinstance(said, str) and not said.isascii() and (text := whole(said)) != said:
                setattr(each, name, text)


__all__ = ["ends_in_half", "make_whole", "whole"]
