"""A request to a model agent from end to end: what is built of its spec, one run, its result.

Knows of all rooms beside it, and of pydantic-ai, which the first request imports.
What is built is owned by `assembly`, which keeps it beside the spec.
"""
