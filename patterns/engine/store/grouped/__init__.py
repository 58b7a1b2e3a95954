"""One store over any medium: leases, encoding, and a writer that commits in groups.

Knows the contract, and a medium only as a `Backend`; nothing of SQL, files or servers. A `GroupedStore`
owns its leases and threads; the backend belongs to its writer, and the reading half to its reader.
"""
