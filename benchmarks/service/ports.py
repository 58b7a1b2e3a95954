"""A port for a server that is begun, ended and begun again at the same address."""

from __future__ import annotations

import random
import socket
from contextlib import suppress


def free_port() -> int:
    """Return a port that nothing listens on.

    It is below the ports that a system gives out by itself: one of those may be given to another
    process while the server is away.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
