"""The PostgreSQL backend: one schema, engines on several machines. Imported only when a URL asks for it.

Knows the `Backend` protocol and the rows of a batch; of event loops only that they watch sockets. The
writing session belongs to the writer (its lane on the loop, else its thread), the reading one to the
reader, the lease's to the thread that renews, the listening connection to the loop.
"""
