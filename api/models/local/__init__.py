"""The small language model of this machine: its weights, and the process that serves it.

Knows of the actors alone, and imports no model library.
A child process is owned by its `LocalServer`.
"""
