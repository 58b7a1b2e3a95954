"""What happened in a run, in order, and the hash that two equal runs share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Event(NamedTuple):
    """One thing that happened.

    kind: ``spawn`` (*actor* was started by *peer*), ``handle`` (*actor* takes up a message of
        *peer*), ``reply`` (*actor* answers *peer*; only in detailed traces), ``end`` (*actor* ended;
        *detail* is the reason), ``dead`` (*actor* did not get a message), ``fault`` (one hit
        *actor*), ``note``.
    """

    time_s: float
    kind: str
    actor: str
    peer: str = ""
    detail: str = ""

    def __str__(self) -> str:
        if self.kind == "handle":
            named = f"{self.peer or 'outside'} -> {self.actor}"
        elif self.peer:
            named = f"{self.actor} {'->' if self.kind == 'reply' else 'by'} {self.peer}"
        else:
            named = self.actor
        return f"{self.time_s:>10g}  {self.kind:<6} {named}" + (
            f": {self.detail}" if self.detail else ""
        )


Raw = tuple[float, str, str, str, str]


class Trace:
    """The events of one run. Owned by the run's thread.

    keep: how many of the last events stay readable; all count for the hash.
    """

    __slots__ = ("_clock", "_digest", "_events", "_keep", "_paused", "_seen")

    _CHUNK = 16_384

    def __init__(self, clock: Callable[[], float], *, keep: int = 100_000) -> None:
        self._clock = clock
        self._keep = keep
        self._digest = hashlib.blake2b(digest_size=16)
        self._events: list[Raw] = []
        self._seen = 0
        self._paused = False

    def add(self, kind: str, actor: str, peer: str = "", detail: str = "") -> None:
        """Add an event that happens now."""
        if not self._paused:
            self._events.append((self._clock(), kind, actor, peer, detail))

    def event_adder(self) -> Callable[[Raw], None]:
        """Return a function that adds a finished event, for a caller that adds very many."""
        events = self._events
        room = self._keep + self._CHUNK
        append = events.append

        def add(event: Raw) -> None:
            if self._paused:
                return
            append(event)
            if len(events) > room:
                self.compact()

        return add

    def pause(self) -> None:
        """Take nothing more, until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Take events again."""
        self._paused = False

    def compact(self) -> None:
        """Hash what is new, and forget what is older than what was to be kept."""
        events = self._events
        # repr of floats and text is the same on every platform and version that is supported.
        self._digest.update("".join(map(repr, events[self._seen :])).encode())
        surplus = len(events) - self._keep
        if surplus > 0:
            del events[:surplus]
        self._seen = len(events)

    def seal(self, text: str) -> None:
        """Let *text* count for the hash, without being an event."""
        self.compact()
        self._digest.update(text.encode())

    def hash(self) -> str:
        """Return the hash of everything that happened so far."""
        self.compact()
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[Event]:
        return (Event(*event) for event in self._events)

    def __len__(self) -> int:
        return len(self._events)

    def text(self) -> str:
        """Return the events, one a line."""
        return "\n".join(map(str, self))
