"""Access: which callers may use an app that the library serves, and the guard in front of it.

Knows actors by what they export, and Starlette's requests. The apps above (`observer`, `faces`) are guarded
by it. It has no state but the token that it was given.
"""

from agenticaiframework.actors import MissingExtra

try:
    from .access import Access, Auth, Guard, check_host, is_local, own_path
except ImportError as error:
    if (error.name or "").partition(".")[0] != "starlette":
        raise
    raise MissingExtra("agenticaiframework.access", "faces") from error

__all__ = ["Access", "Auth", "Guard", "check_host", "is_local", "own_path"]
