"""Names for actors that are the same in every run of the same code."""

from __future__ import annotations

import re
from typing import Any

_NUMBERED = re.compile(r"\b[A-Za-z_]\w*#\d+")


class Labels:
    """Gives each ref of a run its label: its own name, or its class and number in that class.

    The kernel's pids count through the whole process, and would differ from run to run.
    """

    __slots__ = ("_by_pid", "_by_text", "_counts")

    def __init__(self) -> None:
        self._by_pid: dict[int, str] = {}
        self._by_text: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def add(self, ref: Any) -> str:
        """Name a ref that has just been started."""
        label = ref.name
        if label is None:
            cls = ref.actor_class.__name__
            count = self._counts[cls] = self._counts.get(cls, 0) + 1
            label = f"{cls}#{count}"
            self._by_text[ref.label] = label
        self._by_pid[ref.pid] = label
        return str(label)

    def of(self, ref: Any) -> str:
        """Return the label of a ref; one from outside the run is named by its class."""
        if ref is None:
            return ""
        label = self._by_pid.get(getattr(ref, "pid", -1))
        if label is not None:
            return label
        cls = getattr(ref, "actor_class", None)
        return getattr(ref, "name", None) or (cls.__name__ if cls is not None else "outside")

    def or_none(self, value: object) -> str | None:
        """Return the label if *value* is a ref, else None; for `describe`."""
        return self.of(value) if hasattr(value, "actor_class") else None

    def of_text(self, text: str) -> str:
        """Return the label of the actor that the kernel calls *text*."""
        return self._by_text.get(text, text)

    def scrub(self, text: str) -> str:
        """Return *text* with the kernel's numbered names replaced by labels."""
        if "#" not in text:
            return text
        return _NUMBERED.sub(lambda found: self.of_text(found[0]), text)
