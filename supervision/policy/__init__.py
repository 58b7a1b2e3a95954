"""Policies as data: flags, child specifications, restart policies, backoff, the restart window.

Knows the vocabulary.
Its models are frozen; a `RestartWindow` is owned by the supervisor that counts with it.
"""
