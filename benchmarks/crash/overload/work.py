"""Attacks by work: commands, recipients, large messages, passwords, maildrops and queues."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from benchmarks.crash.clients import Gone, Pop3, Refused, Smtp, stuffed
from benchmarks.crash.filling import fill
from benchmarks.crash.node import PASSWORD, address
from benchmarks.crash.overload.apart import Apart, Stop
from benchmarks.crash.overload.attack import Attack, few
from benchmarks.crash.texts import make_text
from emailsys.control.requests import UserAdd
from emailsys.mail.address import Address
from emailsys.passwords import make_credentials
from tests.live.programs.daemon import DOMAIN

MIB: Final = 2**20


def floods(attack: Attack) -> None:
    """Clients that pipeline commands as fast as they can for 15 s; half of the commands are mistakes."""
    attack.start()
    with attack.others():
        counts: Counter[str] = Counter()
        stopping = threading.Event()

        def flood(number: int) -> None:
            words = (b"NOOP\r\n" if number % 2 else b"RSET\r\nVRFY x\r\nHELP\r\nBLAH\r\n") * 2000
            while not stopping.is_set():
                try:
                    with Smtp(attack.node, timeout=20) as smtp:
                        sender = threading.Thread(target=_pour, args=(smtp, words, stopping))
                        sender.start()
                        while not stopping.is_set():
                            octets = smtp.sock.recv(262_144)
                            if not octets:
                                counts["hung up"] += 1
                                break
                            counts["replies"] += octets.count(b"\r\n")
                        sender.join(5)
                except (Gone, Refused, OSError) as why:
                    counts[str(why)[:50]] += 1

        threads = [
            threading.Thread(target=flood, args=(number,), daemon=True) for number in range(attack.chosen.clients)
        ]
        for thread in threads:
            thread.start()
        time.sleep(15)
        stopping.set()
        for thread in threads:
            thread.join(10)
        attack.tell("in 15 s", few(counts))


def _pour(smtp: Smtp, words: bytes, stopping: threading.Event) -> None:
    with contextlib.suppress(Gone, OSError):
        while not stopping.is_set():
            smtp.say(words)


def recipients(attack: Attack) -> None:
    """10,000 RCPT in one transaction, with and without a limit that allows them; then 100 transactions of 1,000."""
    for most in (1000, 20_000):
        attack.start({"smtp": {"max_recipients": most, "max_refusals": 1_000_000}})
        with attack.others(), Smtp(attack.node, "submission", timeout=120) as smtp:
            smtp.login(address("u0"))
            text = make_text("many", 2000, attack.chance)
            began = time.monotonic()
            smtp.say(f"MAIL FROM:<{address('u0')}>\r\n".encode())
            smtp.expect(b"250")
            codes: Counter[str] = Counter()
            for start in range(0, 10_000, 100):
                smtp.say(b"".join(b"RCPT TO:<r%d@away%d.test>\r\n" % (n, n % 50) for n in range(start, start + 100)))
                for _ in range(100):
                    codes[smtp.reply().decode()[:40]] += 1
            asked = time.monotonic() - began
            smtp.say(b"DATA\r\n")
            smtp.expect(b"354")
            began = time.monotonic()
            smtp.say(stuffed(text) + b".\r\n")
            reply = smtp.reply().decode()
            attack.tell(f"limit {most}: {few(codes)} in {asked:.2f} s; {reply} after {time.monotonic() - began:.2f} s")
            attack.tell(f"rows in the queue: {len(attack.node.queued())}")
        attack.node.kill()
        shutil.rmtree(attack.folder / "node")


def large(attack: Attack) -> None:
    """50 messages of 50 MiB at once."""
    attack.start()
    size = 49 * MIB
    done: Counter[str] = Counter()
    times: list[float] = []
    text = stuffed(make_text("large", size, attack.chance)) + b".\r\n"

    def send() -> None:
        began = time.monotonic()
        try:
            with Smtp(attack.node, timeout=900) as smtp:
                smtp.say(smtp.envelope("x@y.test", [address("victim")]) + b"DATA\r\n")
                for _ in range(2):
                    smtp.expect(b"250")
                smtp.expect(b"354")
                view = memoryview(text)
                for start in range(0, len(view), 1 << 18):
                    smtp.sock.sendall(view[start : start + (1 << 18)])
                done[smtp.reply().decode()[:14]] += 1
        except (Gone, Refused, OSError) as why:
            done[str(why)[:60]] += 1
        times.append(time.monotonic() - began)

    with attack.others():
        began = time.monotonic()
        threads = [threading.Thread(target=send) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        attack.tell(f"{few(done)} in {took:.0f} s, {50 * size / MIB / took:.0f} MiB/s")
    attack.tell(f"database {(attack.node.state / 'mail.sqlite').stat().st_size / MIB:.0f} MiB")


def passwords(attack: Attack) -> None:
    """1,000 clients at once with wrong passwords, while good logins are timed."""
    attack.start({"limits": {"exempt_loopback": False}})

    def guess(number: int, stopping: Stop, counts: Counter[str]) -> None:
        while not stopping.is_set():
            try:
                with Pop3(attack.node, timeout=50, source=f"127.20.{number // 200}.{1 + number % 200}") as pop3:
                    while not stopping.is_set():
                        pop3.demand(f"USER {address('victim')}")
                        pop3.say(b"PASS wrong%d\r\n" % number)
                        counts[pop3.line().decode()[:60]] += 1
            except (Gone, Refused) as why:
                counts[f"ended: {str(why)[:50]}"] += 1
            stopping.wait(0.2)

    def guess_all(stopping: Stop) -> Counter[str]:
        counts: Counter[str] = Counter()
        threading.stack_size(256 * 1024)
        _together([partial(guess, number, stopping, counts) for number in range(1000)])
        return counts

    guesses = Apart(guess_all)
    with attack.others() as others:
        time.sleep(2)
        attack.tell("quiet:", others)
        others.logins.clear()
        guesses.begin()
        time.sleep(20)
        # The password of a user who has not logged in lately is not cached.
        began = time.monotonic()
        try:
            with Pop3(attack.node, timeout=60) as pop3:
                pop3.login(address("u1"))
                heard = "+OK"
        except (Gone, Refused) as why:
            heard = str(why)
        attack.tell(f"a first good login beside them: {heard} after {time.monotonic() - began:.2f} s")
        attack.tell("guesses:", few(guesses.end()))


def _together(calls: Sequence[Callable[[], object]]) -> None:
    """Make calls in a thread each, and wait for all of them."""
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def big_maildrop(attack: Attack) -> None:
    """A maildrop of 100,000 messages; 50 clients list such maildrops at once, each its own."""
    attack.start({"queue": {"poll": "1h"}})
    names = [f"big{number}" for number in range(50)]
    credentials = make_credentials(PASSWORD)
    for name in names:
        attack.node.command(UserAdd(Address(name, DOMAIN), credentials))
    began = time.monotonic()
    count = attack.chosen.messages
    fill(attack.node, address("u0"), [address(names[0])], count, 400)
    attack.node.drain()
    # The other forty-nine get the same messages; the ledger is of no interest here.
    with contextlib.closing(sqlite3.connect(attack.node.state / "mail.sqlite")) as store, store:
        store.execute(
            "INSERT INTO maildrop SELECT a.account_id, d.row_id, d.message_id, d.octets, d.smtputf8, d.prefix"
            " FROM accounts a JOIN maildrop d ON d.account_id = (SELECT account_id FROM accounts WHERE local = 'big0')"
            " WHERE a.local LIKE 'big%' AND a.local <> 'big0' ORDER BY a.account_id, d.row_id"
        )
    attack.node.start()
    attack.tell(f"{count} messages in each of 50 maildrops after {time.monotonic() - began:.0f} s")

    def visit(name: str, times: dict[str, list[float]]) -> None:
        with Pop3(attack.node, timeout=300) as pop3:
            began = time.monotonic()
            pop3.login(address(name))
            times["login"].append(time.monotonic() - began)
            for command in ("LIST", "UIDL"):
                began = time.monotonic()
                pop3.demand(command)
                lines = pop3.body().count(b"\r\n")
                assert lines == count, lines
                times[command].append(time.monotonic() - began)
            pop3.demand("QUIT")

    def visit_all(_stopping: Stop) -> dict[str, list[float]]:
        times: dict[str, list[float]] = {"login": [], "LIST": [], "UIDL": []}
        _together([partial(visit, name, times) for name in names])
        return times

    visits = Apart(visit_all)
    with attack.others():
        time.sleep(1)
        began = time.monotonic()
        visits.begin()
        times = visits.result()
        attack.tell(f"50 clients listed {count} messages each in {time.monotonic() - began:.1f} s:")
        for what, some in times.items():
            attack.tell(f"  {what}: median {statistics.median(some):.2f} s, worst {max(some):.2f} s")


def dead_hosts(attack: Attack) -> None:
    """200,000 recipients whose hosts are all down: the CPU time of a daemon that has nothing to do."""
    hosts = 200
    # No program listens on this port.
    nowhere = attack.ports.take()[0]
    route = [
        (
            "routing.routes",
            {"recipient_domain": f"away{n}.test", "host": f"[127.40.0.{n + 1}]", "port": nowhere, "tls": "none"},
        )
        for n in range(hosts)
    ]
    attack.start({"outbound": {"enabled": False}, "smtp": {"max_recipients": 1000}}, route)
    count = attack.chosen.rows
    began = time.monotonic()
    away = [f"r{n}@away{n % hosts}.test" for n in range(count)]
    fill(attack.node, address("u0"), away, count // 500, 1000, sessions=4, each=500)
    attack.tell(f"{count} rows after {time.monotonic() - began:.0f} s")
    attack.node.drain()
    attack.node.configure({"outbound": {"enabled": True}, "smtp": {"max_recipients": 1000}}, route)
    attack.tell(f"start {attack.node.start():.2f} s")
    with attack.others():
        for _ in range(attack.chosen.minutes * 4):
            before = attack.node.size().cpu
            time.sleep(15)
            size = attack.node.size()
            attack.tell(f"CPU {(size.cpu - before) / 15 * 100:.0f} %, {size}")
