"""Through which functions an error has come: what tells an error of a library's from one of the program's."""

from __future__ import annotations

from types import TracebackType


def frames_of(traceback: TracebackType | None) -> list[tuple[str, str]]:
    """Return the module and the function of each frame of *traceback*, the innermost last."""
    found: list[tuple[str, str]] = []
    while traceback is not None:
        frame = traceback.tb_frame
        found.append((str(frame.f_globals.get("__name__", "")), frame.f_code.co_name))
        traceback = traceback.tb_next
    return found


__all__ = ["frames_of"]
