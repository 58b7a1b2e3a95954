"""Access: which callers may use an app that the library serves, and the guard in front of it.

Knows actors by what they export, and Starlette's requests. The apps above (`observer`, `faces`) are guarded
by it. It has no state but the token that it was given.
"""

from .access import Access, Auth, Guard, check_host, is_local, own_path

__all__ = ["Access", "Auth", "Guard", "check_host", "is_local", "own_path"]
