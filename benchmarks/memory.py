"""How much memory a daemon holds after its start, and how much more while one large message comes in and goes out."""

from __future__ import annotations

import argparse

from benchmarks import process
from tests.live.programs import messages
from tests.live.programs.daemon import Daemon
from tests.live.programs.wire import Wire, pop3, smtp

CHUNK = 65536


def receive(wire: Wire, recipient: str, text: bytes) -> None:
    """Hand a message over in pieces."""
    for command, code in (
        (b"MAIL FROM:<a@example.org>", 250),
        (f"RCPT TO:<{recipient}>".encode(), 250),
        (b"DATA", 354),
    ):
        assert wire.code(command) == code
    for start in range(0, len(text), CHUNK):
        wire.say(text[start : start + CHUNK])
    reply = wire.ask(b".")
    assert reply.startswith(b"250"), reply


def fetch(wire: Wire, number: int) -> int:
    """Read a message and forget it; its octets as they came."""
    wire.say(b"RETR %d\r\n" % number)
    octets, tail = 0, b""
    while not tail.endswith(b"\r\n.\r\n"):
        piece = wire.sock.recv(CHUNK)
        assert piece, "the server has hung up"
        octets += len(piece)
        tail = (tail + piece)[-5:]
    return octets


def main() -> None:
    """Start, measure, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mebibytes", type=int, default=100, help="of the message")
    given = options.parse_args()
    daemon = Daemon('[smtp]\nmax_message_size = "1 GiB"\n')
    try:
        print(f"after start: {process.resident(daemon.pid):.1f} MiB")
        user = daemon.user()
        with smtp(daemon) as wire:
            receive(wire, user.address, messages.header("a@example.org", user.address, "warm") + b"\r\n")
        with pop3(daemon, user) as wire:
            fetch(wire, 1)
        text = messages.of_size("a@example.org", user.address, "large", given.mebibytes << 20)
        before = process.resident(daemon.pid)
        process.forget_peak(daemon.pid)
        with smtp(daemon) as wire:
            receive(wire, user.address, text)
        print(f"growth while {given.mebibytes} MiB came in: {process.peak(daemon.pid) - before:.1f} MiB")
        before = process.resident(daemon.pid)
        process.forget_peak(daemon.pid)
        with pop3(daemon, user) as wire:
            octets = fetch(wire, 2)
        assert octets > len(text)
        print(f"growth while {given.mebibytes} MiB went out: {process.peak(daemon.pid) - before:.1f} MiB")
    finally:
        daemon.close()


if __name__ == "__main__":
    main()
