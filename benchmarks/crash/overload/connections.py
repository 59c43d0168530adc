"""Attacks by connections: idle, slow, unread, or as many as there are."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections import Counter

from benchmarks.crash.clients import Gone, Pop3, Refused, Smtp
from benchmarks.crash.filling import fill
from benchmarks.crash.node import HOST, address
from benchmarks.crash.overload.attack import Attack, few
from benchmarks.crash.texts import make_text


def idle(attack: Attack) -> None:
    """5,000 connections to SMTP and 5,000 to POP3 that send nothing, from addresses without a privilege."""
    attack.start({"limits": {"exempt_loopback": False}})
    with attack.others() as others:
        time.sleep(1)
        attack.tell("smtp", few(attack.connect("smtp", 5000)), few(attack.hear(3)))
        attack.tell("held", attack.node.size())
        attack.tell("pop3", few(attack.connect("pop3", 5000, source=1)))
        ticks = attack.node.size().cpu
        time.sleep(10)
        attack.tell(f"CPU in 10 s with all of them silent: {attack.node.size().cpu - ticks:.2f} s; {others.failures}")
        attack.hang_up()
        time.sleep(2)


def handshakes(attack: Attack) -> None:
    """1,000 TLS handshakes on submissions and pop3s: half send nothing, half the first octets of a ClientHello."""
    attack.start({"tls": {"handshake_timeout": "10s"}})
    with attack.others():
        time.sleep(1)
        hello = bytes.fromhex("16030102000100")
        for number, service in enumerate(("submissions", "pop3s")):
            attack.connect(service, 250, b"", number)
            attack.connect(service, 250, hello, number + 2)
        attack.tell("held", attack.node.size())
        began = time.monotonic()
        heard = attack.hear(20)
        attack.tell(f"after {time.monotonic() - began:.0f} s", few(heard), attack.node.size())
        # A thousand whole handshakes, as fast as one client can.
        attack.hang_up()
        began = time.monotonic()
        threads = [threading.Thread(target=_shake, args=(attack, 125)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        attack.tell(f"1000 whole handshakes in {time.monotonic() - began:.1f} s")


def _shake(attack: Attack, count: int) -> None:
    for _ in range(count):
        with contextlib.suppress(Gone, Refused), Smtp(attack.node, "submissions", tls=True):
            pass


def slowloris(attack: Attack) -> None:
    """400 clients on each port that send an octet in two seconds, for 80 s; timeouts of 15 s, and 60 s a message."""
    short = {
        "smtp": {"command_timeout": "15s", "data_timeout": "15s", "message_timeout": "60s"},
        "pop3": {"login_timeout": "15s", "session_timeout": "10m"},
        "tls": {"handshake_timeout": "10s"},
    }
    attack.start(short)
    with attack.others():
        for number, service in enumerate(attack.node.ports):
            attack.connect(service, 400, source=number)
        # Some are in the middle of a message.
        body = b"EHLO x\r\nMAIL FROM:<x@y.test>\r\nRCPT TO:<victim@crash.test>\r\nDATA\r\nSubject: x\r\n\r\n"
        attack.connect("smtp", 400, body, source=9)
        ends: Counter[str] = Counter()
        began = time.monotonic()
        octet = 0
        while time.monotonic() < began + 80:
            for one in list(attack.sockets):
                try:
                    one.send(b"NOOP xyz abc"[octet % 12 : octet % 12 + 1])
                    while one.recv(4096):
                        pass
                    raise OSError(0, "closed")
                except BlockingIOError:
                    pass
                except OSError:
                    attack.sockets.remove(one)
                    one.close()
                    ends[f"{(time.monotonic() - began) // 10 * 10:.0f} s"] += 1
            octet += 1
            time.sleep(2)
        attack.tell("ended after", dict(ends), f"still there {len(attack.sockets)}")
        attack.hang_up()
        time.sleep(1)


def never_read(attack: Attack) -> None:
    """SMTP and POP3 clients that send commands without end and never read a reply."""
    attack.start({"smtp": {"command_timeout": "20s"}, "pop3": {"session_timeout": "10m"}})
    fill(attack.node, address("u0"), [address("victim")], 2000, 20_000)
    with attack.others():
        time.sleep(1)
        attack.connect("smtp", 200, b"EHLO x\r\n")
        flood = b"NOOP\r\n" * 5000
        readers = []
        for _ in range(200):
            with contextlib.suppress(Gone, Refused):
                readers.append(Smtp(attack.node))
        for one in attack.sockets:
            with contextlib.suppress(OSError):
                one.send(flood)
        fetching = []
        with contextlib.suppress(Gone, Refused):
            pop3 = Pop3(attack.node)
            pop3.login(address("victim"))
            pop3.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            pop3.say(b"".join(b"RETR %d\r\n" % number for number in range(1, 2001)))
            fetching.append(pop3)
        for _number in range(30):
            for one in attack.sockets:
                with contextlib.suppress(OSError):
                    one.send(flood)
            time.sleep(1)
        attack.tell("held", attack.node.size())
        attack.tell("heard", few(attack.hear(5, drop=True)))
        attack.hang_up()
        for session in [*readers, *fetching]:
            session.close()
        time.sleep(1)


def leak(attack: Attack) -> None:
    """Tens of thousands of connections in turn, with messages, logins, mistakes and sudden ends."""
    attack.start()
    total = attack.chosen.connections

    def once(number: int) -> None:
        kind = number % 6
        try:
            if kind == 0:
                with Smtp(attack.node) as smtp:
                    smtp.send("x@y.test", [address("victim")], make_text("leak", 600, random.Random(number)))
            elif kind == 1:
                socket.create_connection((HOST, attack.node.ports["smtp"]), 10).close()
            elif kind == 2:
                with Smtp(attack.node) as smtp:
                    smtp.say(b"MAIL FROM:<x@y.test>\r\nRCPT TO:<victim@crash.test>\r\nDATA\r\nhalf")
            elif kind == 3:
                with Pop3(attack.node) as pop3:
                    pop3.login(address("u1"))
                    pop3.demand("QUIT")
            elif kind == 4:
                with Pop3(attack.node) as pop3:
                    pop3.say(b"BLAH\r\nUSER x\r\n")
            else:
                with Smtp(attack.node, "submissions", tls=True):
                    pass
        except (Gone, Refused, OSError):
            pass

    sizes: list[str] = []
    counter = iter(range(total))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(counter, None)
            if number is None:
                return
            once(number)

    for part in range(5):
        limit = total // 5
        counter = iter(range(part * limit, (part + 1) * limit))
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with Pop3(attack.node, timeout=120) as pop3:
            pop3.login(address("victim"))
            pop3.delete(list(pop3.uidl()))
            pop3.demand("QUIT")
        time.sleep(3)
        sizes.append(f"{(part + 1) * limit:>7} connections: {attack.node.size()}")
        attack.tell(sizes[-1])
