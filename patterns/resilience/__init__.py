"""Resilience as patterns: circuit breaker, rate limiter, bulkhead, hedged request."""

from .breaker import CircuitBreaker, CircuitChanged, CircuitOpen
from .bulkhead import Bulkhead, BulkheadFull
from .hedge import HedgedRequest
from .limiter import RateLimited, RateLimiter

__all__ = [
    "Bulkhead",
    "BulkheadFull",
    "CircuitBreaker",
    "CircuitChanged",
    "CircuitOpen",
    "HedgedRequest",
    "RateLimited",
    "RateLimiter",
]
