"""Open connections passed from one process to another, where the system can do that as it is needed here: on Linux."""

from __future__ import annotations

import socket
import sys
from typing import Final

#: Whether connections can be passed.
CAN_PASS: Final = sys.platform == "linux"


def stream_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets, a stream in both directions."""
    if sys.platform != "linux":
        raise OSError("only on Linux")
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def passing_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets for `pass_connection`. They keep the limits of messages, and tell of their end."""
    if sys.platform != "linux":
        raise OSError("only on Linux")
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def pass_connection(channel: socket.socket, words: bytes, connection: socket.socket) -> None:
    """Pass a connection, with some words about it, to the process at the other end. This process may close it then.

    @raise OSError: that process has ended, or takes no more at this moment.
    """
    if sys.platform != "linux":
        raise OSError("only on Linux")
    socket.send_fds(channel, [words], [connection.fileno()])


def take_connection(channel: socket.socket, max_words: int) -> tuple[bytes, socket.socket | None]:
    """Return the words about a connection, and the connection. No words: no more come.

    If this process has no free descriptor, the kernel drops the connection, and None is returned for it.

    @raise BlockingIOError: there is none at this moment.
    """
    if sys.platform != "linux":
        raise OSError("only on Linux")
    words, descriptors, _flags, _address = socket.recv_fds(channel, max_words, 1)
    return words, socket.socket(fileno=descriptors[0]) if descriptors else None
