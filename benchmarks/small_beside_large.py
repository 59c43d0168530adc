"""How long a small message waits for its 250 while large ones come in."""

from __future__ import annotations

import argparse
import multiprocessing
import selectors
import socket

from benchmarks import flow
from tests.live.programs import messages
from tests.live.programs.daemon import Daemon

# Octets that one system call sends at most.
PORTION = 256 * 1024


def bring(port: int, recipient: str, text: bytes, count: int) -> None:
    """Send a message over that many connections at once. In a process of its own, so as not to slow down the others."""
    selector = selectors.DefaultSelector()
    envelope = flow.envelopes([recipient])
    left: dict[socket.socket, memoryview] = {}
    for _ in range(count):
        session = flow.Session(port, envelope, b"")
        session.begin()
        heard = b""
        while b"354" not in heard:
            heard += session.sock.recv(flow.RECV_OCTETS)
        session.sock.setblocking(False)
        selector.register(session.sock, selectors.EVENT_WRITE)
        left[session.sock] = memoryview(text)
    while left:
        for key, events in selector.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if events & selectors.EVENT_READ:
                reply = sock.recv(flow.RECV_OCTETS)
                assert reply.startswith(b"250"), reply
                selector.unregister(sock)
                del left[sock]
                continue
            left[sock] = left[sock][sock.send(left[sock][:PORTION]) :]
            if not left[sock]:
                selector.modify(sock, selectors.EVENT_READ)


def main() -> None:
    """Start, send small messages alone, then beside large ones; print both."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--large", type=int, default=10, help="how many large messages come in at once")
    options.add_argument("--mebibytes", type=int, default=100, help="of a large message")
    options.add_argument("--connections", type=int, default=1, help="for small messages")
    given = options.parse_args()
    daemon = Daemon('[smtp]\nmax_message_size = "1 GiB"\n')
    try:
        user = daemon.user()
        text = messages.of_size("a@example.org", user.address, "large", given.mebibytes << 20) + b".\r\n"
        port, recipients = daemon.ports["smtp"], [user.address]
        alone = flow.flow(port, recipients, 4096, given.connections, lambda seen, seconds: seconds < 2.0)
        print(f"4096 octets alone: {alone}")
        sender = multiprocessing.Process(target=bring, args=(port, user.address, text, given.large))
        sender.start()
        beside = flow.flow(port, recipients, 4096, given.connections, lambda seen, seconds: sender.is_alive())
        sender.join()
        print(f"4096 octets beside {given.large} messages of {given.mebibytes} MiB: {beside}")
    finally:
        daemon.close()


if __name__ == "__main__":
    main()
