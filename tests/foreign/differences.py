"""The tests that pass in a task and not in a handler, each with the reason."""

from __future__ import annotations

from typing import Final

NOT_LISTED: Final = (
    "`asyncio.all_tasks()` does not list handlers, so anyio's `wait_all_tasks_blocked`, which waits "
    "until all that it lists are blocked, does not wait for them"
)

DIFFERENCES: Final[dict[str, str]] = {
    "test_sockets.py::TestTCPStream::test_close_during_send": NOT_LISTED,
    "test_sockets.py::TestTCPStream::test_reset_during_send": NOT_LISTED,
}
"""By a part of the test's name that tells it from all others."""


def reason_of(test: str) -> str | None:
    """Return why *test* differs in a handler, or None if nothing says that it may."""
    return next((why for name, why in DIFFERENCES.items() if name in test), None)
