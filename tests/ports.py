"""Ports that stay free until the server starts that is told to listen on them."""

from __future__ import annotations

import socket


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that no other program is given for a minute.

    A connection that its server closed first keeps its port in TIME_WAIT. The kernel does not hand out such a port to
    programs that bind to port 0. A server that names the port gets it, because servers set SO_REUSEADDR.
    """
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        with one, socket.create_connection(one.getsockname()) as client:
            one.accept()[0].close()
            client.recv(1)
    return ports
