"""What an error says about a refusal by a service: its HTTP status, and how long it asks to wait.

A service that is over its limit answers 429 (or 503, or 529) with ``Retry-After``. The caller of an
agent finds that in the error, or in what caused it: retry policies, rate limiters and model agents
look here. Errors are read by what they have, so that no client library is needed, and nothing that a
property of a user's error raises gets out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

from .looks import attribute_of, cause_of

REFUSED: Final = 400
"""The lowest HTTP status that refuses; below it, ``Retry-After`` means something else."""

_HIGHEST: Final = 599

# As OpenAI writes durations: 1h2m3.5s, 20ms.
_DURATION: Final = re.compile(
    r"(?=.)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?"
)
_UNITS: Final = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)
# Larger numbers are moments: seconds, or milliseconds, since 1970.
_EPOCH_S: Final = 1e9
_EPOCH_MS: Final = 1e12


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield *error* and what it says caused it, nearest first; nothing of None, such as no ``cause``."""
    seen: set[int] = set()
    link = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = cause_of(link)


def http_status_of(error: BaseException) -> int | None:
    """Return the HTTP status that *error* itself reports, from 400 to 599; None if it reports none.

    It is its ``status_code`` or ``status``, or that of its ``response``.
    """
    response = attribute_of(error, "response")
    for owner in (error, response):
        for name in ("status_code", "status"):
            status = None if owner is None else attribute_of(owner, name)
            if isinstance(status, int) and REFUSED <= status <= _HIGHEST:
                return int(status)
    return None


def asked_wait_s(error: BaseException) -> float | None:
    """Return the seconds that *error* itself asks to wait; None if it does not."""
    said_s = _seconds(attribute_of(error, "retry_after_s"))
    if said_s is not None or http_status_of(error) is None:
        return said_s
    # pydantic-ai's error has the headers in newer versions; in older ones only the SDK's error below
    # it has, on its response.
    for owner in (error, attribute_of(error, "response")):
        headers = None if owner is None else attribute_of(owner, "headers")
        if headers:
            try:
                asked_s = read_retry_after(headers, datetime.now(UTC))
            except Exception:
                continue  # they are not headers
            if asked_s is not None:
                return asked_s
    return _seconds(attribute_of(error, "retry_after"))


def retry_after_of(error: BaseException) -> float | None:
    """Return the seconds that *error*, or what caused it, asks to wait; None if nothing does.

    That is its ``retry_after_s``, or the ``Retry-After`` of the response that it has. Of a group, which
    several models were tried for, it is the least: the first to be free again is worth another try.
    """
    for link in causes_of(error):
        asked_s = asked_wait_s(link)
        if asked_s is not None:
            return asked_s
        if isinstance(link, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[Any]", link)
            return min(_said(group.exceptions), default=None)
    return None


def read_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that the response *headers* ask to wait, or None if they do not.

    ``Retry-After`` is a number of seconds or an HTTP date (RFC 9110), which is read against the
    response's own ``Date`` where it has one: two machines' clocks differ. *now* is ours. OpenAI's
    ``Retry-After-Ms`` is more exact, and goes first. Without either it is the reset of the limit that
    has nothing left, in the headers of OpenAI, Anthropic and those that do as they do.

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
    now = _date(fields.get("date", "")) or now
    if text is None:
        return _reset_s(fields, now)
    seconds = _number(text)
    if seconds is not None:
        return seconds
    until = _date(text)
    return None if until is None else max(0.0, (until - now).total_seconds())


def _reset_s(fields: Mapping[str, str], now: datetime) -> float | None:
    """Return when the last of the limits that have nothing left begins anew, if *fields* say it.

    >>> fields = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m6.5s"}
    >>> _reset_s(fields, datetime(2026, 1, 1, tzinfo=UTC))
    66.5
    """
    resets: list[float] = []
    for name, left in fields.items():
        if "ratelimit" in name and "remaining" in name and _number(left) == 0:
            reset_s = _span(fields.get(name.replace("remaining", "reset")), now)
            if reset_s is not None:
                resets.append(reset_s)
    return max(resets, default=None)


def _span(text: str | None, now: datetime) -> float | None:
    """Return a reset as seconds from *now*: a duration, a number of seconds, or a moment in any form."""
    if not text:
        return None
    number = _number(text)
    if number is not None:
        if number > _EPOCH_MS:
            number /= 1000
        return max(0.0, number - now.timestamp()) if number > _EPOCH_S else number
    parts = _DURATION.fullmatch(text.strip())
    if parts is not None:
        return sum(
            float(part or 0) * unit for part, unit in zip(parts.groups(), _UNITS, strict=True)
        )
    try:
        until = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


def _said(errors: Iterable[BaseException]) -> list[float]:
    return [asked_s for asked_s in map(retry_after_of, errors) if asked_s is not None]


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        return None
    return max(0.0, float(value))


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


__all__ = ["asked_wait_s", "causes_of", "http_status_of", "read_retry_after", "retry_after_of"]
