"""`agenticaiframework observe`: the observer of a running service, in this terminal."""

from __future__ import annotations

import sys

from .exits import EXIT_FAILED
from .showing import say


def observe_command(url: str, token: str | None, *, user: str | None, theme: str | None) -> int:
    """Show what the observer at *url* tells until the user has seen enough."""
    from agenticaiframework.terminal import NoObserver, observe

    try:
        observe(url, token, user=user, theme=theme)
    except NoObserver as error:
        said = str(error)
        at = "" if url in said else f"{url}: "
        say(f"agenticaiframework: {at}{said}", out=sys.stderr)
        return EXIT_FAILED
    return 0
