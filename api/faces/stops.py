"""The texts at which a caller wants an answer to stop, looked for in it as it comes."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Cuts a text, which comes in parts, before the first of *stops*. Keeps what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._kept: str = ""
        self._over: bool = False

    def feed(self, text: str) -> str:
        """Return what can be told now that *text* has come.

        >>> stops = Stops(["END"])
        >>> stops.feed("one E"), stops.feed("N"), stops.feed("D two"), stops.rest()
        ('one ', '', '', '')
        """
        if not self._stops:
            return text
        if self._over:
            return ""
        text = self._kept + text
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self._over, self._kept = True, ""
            return text[: min(found)]
        held = max(_beginning(text, stop) for stop in self._stops)
        self._kept = text[len(text) - held :]
        return text[: len(text) - held]

    def rest(self) -> str:
        """Return what was kept and was not the beginning of one after all."""
        kept, self._kept = self._kept, ""
        return kept


def _beginning(text: str, stop: str) -> int:
    """Return the length of the longest end of *text* that *stop* begins with."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if stop.startswith(text[-length:]):
            return length
    return 0


__all__ = ["Stops"]
