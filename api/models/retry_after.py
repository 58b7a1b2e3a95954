"""How long a provider that refuses a request asks to wait, as the patterns read it.

A hosted model that is over its limit answers 429 (or 503, or 529) with ``Retry-After``. The
caller of the agent finds that as ``retry_after_s`` on the error or its cause: a retry policy waits for
it, and a rate limiter holds back all calls that share it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

REFUSED = 400
"""The lowest HTTP status that refuses; below it, ``Retry-After`` means something else."""


def with_retry_after(error: Exception) -> None:
    """Put ``retry_after_s`` on *error*, if the provider has said how long to wait."""
    if getattr(error, "retry_after_s", None) is None:
        asked_s = _asked_s(error)
        if asked_s is not None:
            cast(Any, error).retry_after_s = asked_s


def read_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that the response *headers* ask to wait, or None if they do not.

    ``Retry-After`` is a number of seconds or an HTTP date (RFC 9110), which is read against the
    response's own ``Date`` where it has one: two machines' clocks differ. *now* is ours. OpenAI's
    ``Retry-After-Ms`` is more exact, and goes first.

    >>> read_retry_after({"Retry-After": "20"}, datetime(2026, 1, 1, tzinfo=UTC))
    20.0
    >>> read_retry_after({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, datetime(2026, 1, 1, tzinfo=UTC))
    30.0
    """
    fields = {name.lower(): value for name, value in headers.items()}
    milliseconds = _number(fields.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = fields.get("retry-after")
    seconds = _number(text)
    if seconds is not None or text is None:
        return seconds
    until = _date(text)
    if until is None:
        return None
    return max(0.0, (until - (_date(fields.get("date", "")) or now)).total_seconds())


def _asked_s(error: BaseException) -> float | None:
    """Return what *error*, what caused it, or the errors that it groups, say about waiting."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        asked_s = _of_one(link)
        if asked_s is not None:
            return asked_s
        if isinstance(link, BaseExceptionGroup):
            # Several models were tried: the first to be free again is worth another try.
            group = cast("BaseExceptionGroup[Any]", link)
            return min(_said(group.exceptions), default=None)
        link = link.__cause__
    return None


def _said(errors: Iterable[BaseException]) -> list[float]:
    return [asked_s for asked_s in map(_asked_s, errors) if asked_s is not None]


def _of_one(error: BaseException) -> float | None:
    # pydantic-ai's error has the headers in newer versions; in older ones only the SDK's error below it has,
    # on its response. Both are read by what they have, so that no provider's SDK is needed here.
    response: Any = getattr(error, "response", None)
    status: Any = getattr(error, "status_code", None) or getattr(response, "status_code", None)
    if not isinstance(status, int) or status < REFUSED:
        return None
    headers: Any = getattr(error, "headers", None) or getattr(response, "headers", None)
    asked_s = read_retry_after(headers, datetime.now(UTC)) if headers else None
    if asked_s is None:
        parsed: Any = getattr(error, "retry_after", None)
        asked_s = float(parsed) if isinstance(parsed, (int, float)) else None
    return asked_s


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return max(0.0, value) if math.isfinite(value) else None


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
