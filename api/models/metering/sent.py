"""A request to a model that was sent: counted when it is, and its end told as an event."""

from __future__ import annotations

from typing import Final, Protocol, Self

from agenticaiframework.actors import (
    SESSION,
    ActorSystem,
    Meter,
    ModelRequestEnded,
    Usage,
    agent_context,
    current_meter,
    message_of,
)

_LONGEST_ERROR: Final = 300


class Named(Protocol):
    """What a request is sent to."""

    @property
    def model_name(self) -> str:
        """The model's name at its provider."""
        ...

    @property
    def system(self) -> str:
        """The provider's name."""
        ...


class SentRequest:
    """A request that is sent to *model*, once it is admitted: that counts it."""

    __slots__ = ("_began", "_meter", "_model", "_streamed", "_system")

    def __init__(self, model: Named, *, streamed: bool) -> None:
        self._model = model
        self._streamed = streamed
        self._meter: Meter | None = current_meter()
        self._system: ActorSystem | None = None
        self._began = 0.0

    async def admitted(self) -> Self:
        """Count it, and return it; raises `UsageLimitReached` where it may not be sent."""
        meter = self._meter
        if meter is not None:
            await meter.admit_request()
        system = ActorSystem.current_or_none()
        # Only an event says when it was sent.
        if system is not None and (
            system.events.active or (meter is not None and meter.ledger is not None)
        ):
            self._system = system
            self._began = system.clock()
        return self

    def withdrawn(self) -> None:
        """Count nothing: the request was not sent after all."""
        if self._meter is not None:
            self._meter.end_request(Usage())

    def failed(self, error: BaseException) -> None:
        """Count a request that brought no answer: how many, where several models were asked."""
        several = len(getattr(error, "exceptions", (error,)))
        if isinstance(error, Exception):
            self.ended(Usage(several, failed_requests=several), error)
        else:
            # Cut off: what the provider has charges for is not known.
            self.ended(Usage(1, unmeasured_requests=1), error)

    def ended(self, usage: Usage, error: BaseException | None = None) -> None:
        """Count what the request took, and publish its end."""
        meter = self._meter
        if meter is not None:
            meter.end_request(usage)
        system = self._system
        if system is None:
            return
        ended = ModelRequestEnded(
            "" if meter is None else meter.agent,
            self._model.model_name,
            self._model.system,
            usage,
            self._began,
            system.clock() - self._began,
            None
            if error is None
            else f"{type(error).__name__}: {message_of(error)}"[:_LONGEST_ERROR],
            agent_context().get(SESSION),
            self._streamed,
        )
        system.publish(ended)
        if meter is not None and meter.ledger is not None:
            meter.ledger.told(ended)


__all__ = ["Named", "SentRequest"]
