"""The parts of an event loop that touch the real world, each refused with what to do instead."""

from __future__ import annotations

from typing import Any, NoReturn

from .errors import RealIORefused

_NETWORK = (
    "Pass the code a fake client or an in-memory stream pair, and simulate the remote side "
    "as an actor or a coroutine."
)
_PROCESS = "Put a function or an actor in the place of the child process."
_SIGNAL = "Call the function that the handler would call, at the virtual time you want."
_READINESS = "Use an asyncio.Queue or asyncio.Event that the fake device sets."


def _refused(name: str, instead: str) -> Any:
    def refuse(self: object, *args: object, **kwargs: object) -> NoReturn:
        raise RealIORefused(f"loop.{name}()", instead)

    refuse.__name__ = name
    refuse.__doc__ = "Refuse: " + instead
    return refuse


class NoRealIO:
    """Mixin for an event loop on which sockets, processes, pipes and signals are refused."""

    create_connection: Any = _refused("create_connection", _NETWORK)
    create_server: Any = _refused("create_server", _NETWORK)
    create_unix_connection: Any = _refused("create_unix_connection", _NETWORK)
    create_unix_server: Any = _refused("create_unix_server", _NETWORK)
    create_datagram_endpoint: Any = _refused("create_datagram_endpoint", _NETWORK)
    connect_accepted_socket: Any = _refused("connect_accepted_socket", _NETWORK)
    start_tls: Any = _refused("start_tls", _NETWORK)
    sendfile: Any = _refused("sendfile", _NETWORK)
    getaddrinfo: Any = _refused("getaddrinfo", _NETWORK)
    getnameinfo: Any = _refused("getnameinfo", _NETWORK)
    sock_recv: Any = _refused("sock_recv", _NETWORK)
    sock_recv_into: Any = _refused("sock_recv_into", _NETWORK)
    sock_recvfrom: Any = _refused("sock_recvfrom", _NETWORK)
    sock_recvfrom_into: Any = _refused("sock_recvfrom_into", _NETWORK)
    sock_sendall: Any = _refused("sock_sendall", _NETWORK)
    sock_sendto: Any = _refused("sock_sendto", _NETWORK)
    sock_connect: Any = _refused("sock_connect", _NETWORK)
    sock_accept: Any = _refused("sock_accept", _NETWORK)
    sock_sendfile: Any = _refused("sock_sendfile", _NETWORK)
    connect_read_pipe: Any = _refused("connect_read_pipe", _PROCESS)
    connect_write_pipe: Any = _refused("connect_write_pipe", _PROCESS)
    subprocess_shell: Any = _refused("subprocess_shell", _PROCESS)
    subprocess_exec: Any = _refused("subprocess_exec", _PROCESS)
    add_signal_handler: Any = _refused("add_signal_handler", _SIGNAL)
    remove_signal_handler: Any = _refused("remove_signal_handler", _SIGNAL)
    add_reader: Any = _refused("add_reader", _READINESS)
    remove_reader: Any = _refused("remove_reader", _READINESS)
    add_writer: Any = _refused("add_writer", _READINESS)
    remove_writer: Any = _refused("remove_writer", _READINESS)
