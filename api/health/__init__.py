"""`health_app`: a system's health over HTTP, for process managers and load balancers.

Knows actors by what they export, and no web framework.
It has no state: each answer is a look at the system, which owns its checks.
"""

from __future__ import annotations

from .app import health_app

__all__ = ["health_app"]
