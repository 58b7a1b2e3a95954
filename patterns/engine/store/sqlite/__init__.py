"""The SQLite backend: one file, several processes on one machine.

Knows the `Backend` protocol and the rows of a batch; nothing of event loops. The writer owns the writing
connection and the owners' lock files, the reader the reading connection.
"""
