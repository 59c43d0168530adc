"""An attack from thousands of addresses, each in a network of its own: half guess passwords, half guess recipients."""

from __future__ import annotations

import base64
import contextlib
import selectors
import socket
import time
from collections import Counter
from typing import Final

from benchmarks import process
from benchmarks.crash.clients import Pop3
from benchmarks.crash.node import HOST, address
from benchmarks.crash.overload.apart import Apart, Stop
from benchmarks.crash.overload.attack import Attack, few

_ADDRESSES: Final = 10_000
# New connections a second, and connections at a time.
_RATE: Final = 400
_MOST: Final = 1500


class _Guesser:
    """One connection. Each reply leads to the next command, until the guess is answered."""

    def __init__(self, number: int, ports: dict[str, int]) -> None:
        self.guesses_password = bool(number % 2)
        if self.guesses_password:
            login = base64.b64encode(b"\0%b\0wrong%d" % (address("victim").encode(), number))
            self._commands = [b"AUTH PLAIN %b\r\n" % login]
        else:
            recipient = address(f"nobody{number}").encode()
            self._commands = [b"EHLO x\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<%b>\r\n" % recipient]
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.bind((f"127.{1 + number // 250}.{number % 250}.1", 0))
        with contextlib.suppress(BlockingIOError):
            self.sock.connect((HOST, ports["pop3" if self.guesses_password else "smtp"]))

    def hear(self) -> bytes | None:
        """Read a reply and send the next command. Returns the last reply, None before it."""
        try:
            heard = self.sock.recv(4096)
            if heard and self._commands:
                self.sock.sendall(self._commands.pop(0))
                return None
        except OSError:
            heard = b""
        return heard


def _guess_all(ports: dict[str, int], stopping: Stop) -> Counter[str]:
    heard: Counter[str] = Counter()
    selector = selectors.DefaultSelector()
    began, number = time.monotonic(), 0
    while number < _ADDRESSES or selector.get_map():
        if stopping.is_set():
            break
        due = min(_ADDRESSES, 1 + int((time.monotonic() - began) * _RATE))
        while number < due and len(selector.get_map()) < _MOST:
            guesser = _Guesser(number, ports)
            selector.register(guesser.sock, selectors.EVENT_READ, guesser)
            number += 1
        for key, _ in selector.select(0.005):
            last = key.data.hear()
            if last is not None:
                heard[last[:14].decode("ascii", "replace") or "end"] += 1
                selector.unregister(key.fileobj)
                key.data.sock.close()
    return heard


def networks(attack: Attack) -> None:
    """10,000 addresses of different networks: half guess passwords over POP3, half guess recipients."""
    node = attack.start({"limits": {"exempt_loopback": False}})
    guesses = Apart(lambda stopping: _guess_all(node.ports, stopping))
    # Hashing takes 19 MiB for each of its threads, with the first logins of a day already.
    for name in ("victim", "u0", "u1"):
        with Pop3(node) as pop3:
            pop3.login(address(name))
    with attack.others() as others:
        time.sleep(2)
        attack.tell("quiet:", others)
        others.sends.clear()
        others.logins.clear()
        before = process.resident(node.pid)
        guesses.begin()
        # The last guesses would wait for a minute more.
        time.sleep(_ADDRESSES / _RATE + 5)
        attack.tell("guesses:", few(guesses.end()))
        attack.tell(f"memory: {process.peak(node.pid) - before:+.1f} MiB")
