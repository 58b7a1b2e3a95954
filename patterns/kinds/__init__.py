"""The kinds of patterns: sequential, parallel, hierarchical and the rest, with what they need.

Knows execution and what is below it; each kind is one file beside its helpers. Patterns are
immutable; what one run remembers belongs to that run's coordinator.
"""
