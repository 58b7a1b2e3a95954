"""Resilience as patterns: circuit breaker, rate limiter, bulkhead, hedged request.

Knows execution and what is below it, and no other kind of pattern. What a guard counts over many
calls is owned by its actor, one for each name in a system; what one call remembers, by its coordinator.
"""

from .breaker import Circuit, CircuitBreaker, CircuitChanged, CircuitOpen, Trip
from .bulkhead import Bulkhead, BulkheadFull
from .hedge import HedgedRequest
from .limiter import RateLimited, RateLimiter

__all__ = [
    "Bulkhead",
    "BulkheadFull",
    "Circuit",
    "CircuitBreaker",
    "CircuitChanged",
    "CircuitOpen",
    "HedgedRequest",
    "RateLimited",
    "RateLimiter",
    "Trip",
]
