"""The observer in a terminal: what a running service's observer tells, as JSON, live and steered by keys.

Knows the observer by its address alone: what it shows is in another process, here or elsewhere.
What it keeps, the last answers and what was chosen, is owned by the loop that the app runs on.
"""

from agenticaiframework.actors import MissingExtra

try:
    from .app import TerminalObserver, observe
except ImportError as error:
    if (error.name or "").partition(".")[0] not in ("httpx", "rich", "textual"):
        raise
    raise MissingExtra("agenticaiframework.terminal", "observer") from error

from .client import NoObserver, NotShown, ObserverClient

__all__ = ["NoObserver", "NotShown", "ObserverClient", "TerminalObserver", "observe"]
