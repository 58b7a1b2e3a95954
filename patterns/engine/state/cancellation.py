"""A cancellation that was asked for, and the requests that it answers when carried out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from agenticaiframework.actors import message_of

if TYPE_CHECKING:
    from agenticaiframework.actors import Request

    from .status import CancelReport


class Cancellation:
    """Why and how a run is to be cancelled. Owned by the engine's actor."""

    __slots__ = ("compensate", "graceful", "reason", "requests")

    def __init__(self, reason: str, *, graceful: bool = False, compensate: bool = True) -> None:
        self.reason = message_of(reason)
        self.graceful = graceful
        """Whether what is under way may finish first."""
        self.compensate = compensate
        self.requests: list[Request] = []
        """Answered with a `CancelReport` when it has been carried out."""

    @classmethod
    def of(cls, reason: str, options: Mapping[str, Any] | None) -> Self:
        """Return the cancellation that `options` tell of, as a store or a journal has kept them."""
        kept = options or {}
        return cls(
            reason,
            graceful=bool(kept.get("graceful", False)),
            compensate=bool(kept.get("compensate", True)),
        )

    @property
    def options(self) -> dict[str, Any]:
        """How the run is to be cancelled, where that is not the usual way."""
        options: dict[str, Any] = {}
        if self.graceful:
            options["graceful"] = True
        if not self.compensate:
            options["compensate"] = False
        return options

    def answer(self, report: CancelReport) -> None:
        """Answer the waiting requests with what the cancellation did."""
        for request in self.requests:
            request.reply(report)

    def fail(self, error: BaseException) -> None:
        """Fail the waiting requests: nothing can be said of the run here."""
        for request in self.requests:
            request.fail(error)
