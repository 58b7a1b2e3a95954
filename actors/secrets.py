"""What errors say, cut and without secrets: they go into logs, stores, spans and to other people."""

from __future__ import annotations

import re
from typing import Any, Final

from .looks import text_of

LONGEST: Final = 4_000
"""Characters of what an error says that are kept; providers echo whole bodies."""

MOST_FIELDS: Final = 3
"""Fields of an error of pydantic's that are told in its line."""

_SECRETS: Final = re.compile(
    r"""
      (?P<before>\b(?:bearer|basic)\s+|://[^\s:/@]{0,200}:)    # a login in a header or a URL
      (?P<login>(?!\*\*\*)[^\s@"',]{4,}?)(?=[\s@"',]|\Z)
    | (?P<key>\b(?:sk|pk|rk|gsk|xai|hf|ghp|gho|ghs|xox[abps]|github_pat)[-_])[A-Za-z0-9_-]{12,}
    | (?P<cloud>\b(?:AKIA|ASIA|AIza))[A-Za-z0-9_-]{12,}
    | (?P<name>\b(?:[a-z0-9]{1,30}[-_]){0,4}
        (?:api[-_]?key|access[-_]?token|auth[-_]?token|client[-_]?secret|password|passwd)
        ["']?\s{0,3}[:=]\s{0,3}["']?)
        (?!\.\.|<|(?:None|null)\b)    # what stands for a key in the words of a manual
        [^\s"',;&]{4,}
    """,
    re.IGNORECASE | re.VERBOSE,
)


def message_of(error: Any) -> str:
    """Return what an error says, cut to a bound, with logins and keys as ``***``.

    >>> message_of(ValueError("401 for Bearer abcdef123456, key sk-abcdefghijklmnop"))
    '401 for Bearer ***, key sk-***'
    """
    return masked(cut(text_of(error)))


def line_of(error: Any) -> str:
    """Return what an error says as one line: the first of its message.

    That of a `ValidationError` of pydantic only counts what is wrong; what that is follows here, field by field.
    """
    first, *more = message_of(error).strip().split("\n", 1)
    name, module = type(error).__name__, type(error).__module__
    if more and name == "ValidationError" and module.startswith("pydantic"):
        wrong = masked(_fields_of(error))
        return f"{first}: {wrong}" if wrong else first
    return first


def _fields_of(error: Any) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    lines: list[str] = []
    for each in found[:MOST_FIELDS]:
        where = ".".join(map(str, each["loc"]))
        lines.append(f"{where}: {each['msg']}" if where else each["msg"])
    if len(found) > MOST_FIELDS:
        lines.append("...")
    return cut("; ".join(lines).replace("\n", " "))


def cut(text: str) -> str:
    """Return *text*, of which the middle is left out if it is longer than `LONGEST`."""
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]} ... ({len(text) - LONGEST:,} characters left out) ... {text[-half:]}"


def masked(text: str) -> str:
    """Return *text* with logins and keys as ``***``."""
    return _SECRETS.sub(_hide, text) if len(text) > 8 else text


def _hide(found: re.Match[str]) -> str:
    kept = (
        found.group("before") or found.group("key") or found.group("cloud") or found.group("name")
    )
    if (
        found.group("before")
        and kept.startswith("://")
        and not found.string.startswith("@", found.end())
    ):
        return found.group()  # a port or a path, not a login
    return f"{kept}***"
