"""The observer: a running system and its workflows, looked at in a browser, and steered if allowed.

Knows every layer below by what that exports. `data` is what is shown, as plain data; the rest shows it.
It keeps nothing but what it saw lately, owned by the loop's thread of the system that it looks at.
"""

from agenticaiframework.actors import MissingExtra

try:
    from .app import ObserverApp, observer_app
    from .serving import serve_observer
except ImportError as error:
    if (error.name or "").partition(".")[0] not in ("starlette", "jinja2", "markupsafe", "uvicorn"):
        raise
    raise MissingExtra("agenticaiframework.observer", "observer") from error

from .data import Observed, ObserverAction

__all__ = ["Observed", "ObserverAction", "ObserverApp", "observer_app", "serve_observer"]
