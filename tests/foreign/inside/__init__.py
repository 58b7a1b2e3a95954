"""What the child processes of `tests.foreign` load: it puts another project's tests inside handlers.

A package of its own name, found by path, because the children's tests have a package `tests` too.
"""
