"""Other projects' tests, run inside handlers: ``python -m tests.foreign`` (see `tests/README.md`)."""
