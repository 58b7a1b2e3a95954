"""The PostgreSQL backend: one schema, engines on several machines. Imported only when a URL asks for it.

Knows the `Backend` protocol and the rows of a batch; nothing of event loops. The writer owns the writing
connection, the reader the reading one.
"""
