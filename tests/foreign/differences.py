"""The tests that pass in a task and not in a handler, each with the reason."""

from __future__ import annotations

from typing import Final

NOT_LISTED: Final = (
    "`asyncio.all_tasks()` does not list handlers, so anyio's `wait_all_tasks_blocked`, which waits "
    "until all that it lists are blocked, does not wait for them"
)

STOPS_LATER: Final = (
    "the system of the handler stops before the loop does, and in those turns of the loop the other "
    "end closes the connection that the test looks at afterwards"
)

PYTHONS_LOOP: Final = (
    "the test puts asyncio's functions for the running loop that are written in Python in the place "
    "of those in C, and leaves `current_task`, which then finds no running loop"
)

DIFFERENCES: Final[dict[str, str]] = {
    "EventLoopTests.test_create_ssl_connection": STOPS_LATER,
    "TestPyGetEventLoop.test_get_event_loop_new_process": PYTHONS_LOOP,
    "test_sockets.py::TestTCPStream::test_close_during_send": NOT_LISTED,
    "test_sockets.py::TestTCPStream::test_reset_during_send": NOT_LISTED,
}
"""By a part of the test's name that tells it from all others."""


def reason_of(test: str) -> str | None:
    """Return why *test* differs in a handler, or None if nothing says that it may."""
    return next((why for name, why in DIFFERENCES.items() if name in test), None)
