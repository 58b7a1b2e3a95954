"""A cancellation that was asked for, and who waits until it has been carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agenticaiframework.actors import Request

    from .status import CancelReport


class Cancellation:
    """Why and how a run is to be cancelled. Owned by the engine's actor."""

    __slots__ = ("compensate", "graceful", "reason", "requests")

    def __init__(self, reason: str, *, graceful: bool = False, compensate: bool = True) -> None:
        self.reason = reason
        self.graceful = graceful
        """Whether what is under way may finish first."""
        self.compensate = compensate
        self.requests: list[Request] = []
        """Answered with a `CancelReport` when it has been carried out."""

    def answer(self, report: CancelReport) -> None:
        """Tell everybody who waits what the cancellation did."""
        for request in self.requests:
            request.reply(report)

    def fail(self, error: BaseException) -> None:
        """Tell everybody who waits that nothing can be said of it here."""
        for request in self.requests:
            request.fail(error)
