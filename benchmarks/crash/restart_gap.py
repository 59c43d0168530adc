"""Restarts and reloads: how long no client is served, and what becomes of the sessions that are open.

    python -m benchmarks.crash.restart_gap            # all parts
    python -m benchmarks.crash.restart_gap gap drain  # some of them
    python -m benchmarks.crash.restart_gap restart --times 100

restart new processes that take over under load (`emailsys restart`): no client may notice
gap     new clients of SMTP and POP3 every few milliseconds, beside load, while the daemon is restarted
drain   SIGTERM while sessions are idle, in the middle of a message, of RETR, of a delivery
reload  SIGHUP with new certificates under load: which one is served, and whether a client notices

The exit status is 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import random
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.crash.clients import Gone, Pop3, Refused, Smtp, stuffed
from benchmarks.crash.ledger import Ledger, State
from benchmarks.crash.load import AWAY, Load, Mix, look
from benchmarks.crash.node import HOST, Node, Ports, address, hasty, until
from benchmarks.crash.sink import Sink
from benchmarks.crash.texts import from_ident, make_text


class Knocker:
    """A client that connects again and again, and notes each result with its time."""

    def __init__(self, port: int, every: float = 0.005) -> None:
        self.port = port
        self.every = every
        self.heard: list[tuple[float, float, str]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Knocker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                with socket.create_connection((HOST, self.port), 60) as connection:
                    words = connection.recv(200)[:3].decode("ascii", "replace") or "hung up"
            except ConnectionRefusedError:
                words = "refused"
            except OSError as error:
                words = error.strerror or str(error)
            self.heard.append((began, time.monotonic() - began, words))
            self._stopping.wait(self.every)

    def report(self) -> str:
        """The number of each result, the longest time without a greeting, and the longest wait for one."""
        good = [(began, took) for began, took, words in self.heard if words in ("220", "+OK")]
        ends = [began + took for began, took in good]
        gap = max((later - before for before, later in itertools.pairwise(ends)), default=0.0)
        longest = max((took for _, took in good), default=0.0)
        return f"{dict(Counter(words for _, _, words in self.heard))}, gap {gap:.2f} s, longest wait {longest:.2f} s"


class Bench:
    """A daemon and a sink."""

    def __init__(self, chosen: argparse.Namespace, folder: Path) -> None:
        self.chosen = chosen
        self.folder = folder
        self.accounts = [f"u{number}" for number in range(6)]
        self.chance = random.Random(chosen.seed)
        self.flaws = 0
        ports = Ports(chosen.base_port)
        self.sink = Sink(ports.take()[0], folder / "sink.log")
        route = {"recipient_domain": AWAY, "host": "[127.0.0.1]", "port": self.sink.port, "tls": "none"}
        self.node = Node(folder / "node", ports, hasty(), [("routing.routes", route)])
        self.node.start()
        self.node.add_users(self.accounts)

    def flaw(self, *words: object) -> None:
        """Report a broken promise."""
        self.flaws += 1
        print("FLAW", *words, flush=True)

    def close(self) -> None:
        """Kill everything."""
        self.node.kill()
        self.sink.close()


def restart(bench: Bench) -> None:
    """Successions under load. Whatever a client hears besides what it expects is a broken promise."""
    ledger = Ledger()
    load = Load(bench.node, ledger, bench.accounts, 5, Mix(small=4, large=1, bdat=1, submission=2, readers=2))
    took: list[float] = []
    with Knocker(bench.node.ports["smtp"]) as smtp, Knocker(bench.node.ports["pop3"]) as pop3:
        load.start()
        for number in range(bench.chosen.times):
            began = time.monotonic()
            if problem := bench.node.restart()["problem"]:
                bench.flaw(f"restart {number}: {problem}")
            took.append(time.monotonic() - began)
        load.stop()
    print(f"restart: {len(took)} took {min(took):.2f} to {max(took):.2f} s; {ledger.count(State.ACCEPTED)} accepted")
    print(f"restart:   smtp {smtp.report()}; pop3 {pop3.report()}", flush=True)
    for words, count in load.trouble.items():
        bench.flaw(f"restart: clients heard {words} ({count} times)")
    for knocker in (smtp, pop3):
        if refused := {words for _, _, words in knocker.heard} - {"220", "+OK"}:
            bench.flaw(f"restart: port {knocker.port}: {refused}")
    found, _ = look(bench.node, ledger, bench.accounts, lambda ident: False)
    for one in ledger.check(found).flaws[:5]:
        bench.flaw("restart", one)
    bench.node.stop_successor()


def gap(bench: Bench) -> None:
    """Stops and starts under load."""
    for number in range(bench.chosen.times):
        ledger = Ledger()
        load = Load(bench.node, ledger, bench.accounts, number, Mix(small=4, large=1, bdat=1, submission=2, readers=2))
        with Knocker(bench.node.ports["smtp"]) as smtp, Knocker(bench.node.ports["pop3"]) as pop3:
            load.start()
            time.sleep(2)
            stop = bench.node.drain()
            start = bench.node.start()
            time.sleep(2)
        load.stop()
        print(f"gap: SIGTERM ended it in {stop:.2f} s, greeting {start:.2f} s after the new start")
        print(f"gap:   smtp {smtp.report()}")
        print(f"gap:   pop3 {pop3.report()}; clients saw {dict(load.trouble.most_common(4))}", flush=True)
        found, _ = look(bench.node, ledger, bench.accounts, lambda ident: False)
        for one in ledger.check(found).flaws[:5]:
            bench.flaw("gap", one)
    # The drain waits for a client that is in the middle of a message; others are not served meanwhile.
    with Smtp(bench.node) as slow, Knocker(bench.node.ports["smtp"]) as smtp:
        slow.say(slow.envelope("x@y.test", [address("u0")]) + b"DATA\r\nSubject: slow\r\n\r\n")
        feeding = threading.Event()

        def feed() -> None:
            try:
                while not feeding.wait(0.5):
                    slow.say(b"still writing\r\n")
            except Gone:
                pass

        thread = threading.Thread(target=feed)
        thread.start()
        time.sleep(1)
        stop = bench.node.drain()
        start = bench.node.start()
        feeding.set()
        thread.join()
        time.sleep(1)
    print(f"gap: with one slow client SIGTERM took {stop:.2f} s, start {start:.2f} s: {smtp.report()}", flush=True)


def drain(bench: Bench) -> None:
    """SIGTERM while sessions are open."""
    text = make_text("drain", 2_000_000, bench.chance)

    def message(seconds: float) -> Callable[[], str]:
        def act() -> str:
            with Smtp(bench.node, timeout=60) as smtp:
                smtp.say(smtp.envelope("x@y.test", [address("u0")]) + b"DATA\r\n")
                for code in (b"250", b"250", b"354"):
                    smtp.expect(code)
                octets = stuffed(text) + b".\r\n"
                step = len(octets) // 20
                for start in range(0, len(octets), step):
                    smtp.say(octets[start : start + step])
                    time.sleep(seconds / 20)
                return smtp.reply().decode()

        return act

    def idle() -> str:
        with Smtp(bench.node, timeout=60) as smtp:
            return smtp.reply().decode()

    def marked() -> str:
        with Pop3(bench.node, timeout=60) as pop3:
            pop3.login(address("u1"))
            pop3.demand("DELE 1")
            return pop3.line().decode()

    def fetching() -> str:
        with Pop3(bench.node, timeout=60) as pop3:
            pop3.login(address("u2"))
            pop3.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            pop3.say(b"RETR 2\r\n")
            pop3.expect()
            for _ in range(20):
                time.sleep(0.2)
                if pop3.has_body():
                    break
                pop3.more()
            body = pop3.body()
            same = hashlib.sha256(from_ident(body)).digest() == hashlib.sha256(text).digest()
            return f"{len(body)} octets, whole {same}"

    with Smtp(bench.node) as smtp:
        for account in ("u1", "u2", "u2"):
            smtp.send("x@y.test", [address(account)], text)
    heard: dict[str, str] = {}
    began = 0.0

    def run(name: str, act: Callable[[], str]) -> None:
        try:
            result = act()
        except (Gone, Refused) as why:
            result = f"{type(why).__name__}: {why}"
        heard[name] = f"{result[:80]!r} {time.monotonic() - began:+.2f} s from SIGTERM"

    cases = {
        "idle": idle,
        "marked for deletion, idle": marked,
        "RETR under way, 4 s": fetching,
        "message under way, 4 s": message(4),
        "message under way, 30 s": message(30),
    }
    threads = [threading.Thread(target=run, args=case) for case in cases.items()]
    for thread in threads:
        thread.start()
    time.sleep(1)
    began = time.monotonic()
    took = bench.node.drain()
    for thread in threads:
        thread.join(90)
    print(f"drain: SIGTERM ended it in {took:.2f} s")
    for name, words in heard.items():
        print(f"drain:   {name}: {words}")
    bench.node.start()
    with Pop3(bench.node) as pop3:
        pop3.login(address("u1"))
        if len(pop3.uidl()) != 1:
            bench.flaw("drain: a delete without QUIT was done")
    for delay in (5.0, 3600.0):
        bench.sink.close()
        bench.sink = Sink(bench.sink.port, bench.folder / "sink.log", delay)
        ident = f"delivery{delay:.0f}"
        with Smtp(bench.node, "submission") as smtp:
            smtp.login(address("u0"))
            smtp.send(address("u0"), [f"x@{AWAY}"], make_text(ident, 500, bench.chance))
        until(partial(has_taken, bench.sink, ident), 10)
        with Knocker(bench.node.ports["smtp"], 0.02) as knocker:
            took = bench.node.drain()
            bench.node.start()
            time.sleep(0.5)
        print(f"drain: a host that answers the final dot after {delay:.0f} s: {took:.2f} s; {knocker.report()}")
        if delay < 10:
            time.sleep(8)
            print(f"drain:   it was taken {taken(bench.sink, ident)} times, {len(bench.node.queued())} in the queue")
    bench.sink.close()
    bench.sink = Sink(bench.sink.port, bench.folder / "sink.log")


def taken(sink: Sink, ident: str) -> int:
    """The number of copies of a message that the sink has taken."""
    return sum(count for (one, _), count in sink.taken().counts.items() if one == ident)


def has_taken(sink: Sink, ident: str) -> bool:
    """Whether the sink has taken a message."""
    return taken(sink, ident) > 0


def served(port: int) -> str:
    """The beginning of the digest of the certificate that a port presents."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((HOST, port), 10) as raw, context.wrap_socket(raw) as tls:
        certificate = tls.getpeercert(binary_form=True)
        assert certificate is not None
        return hashlib.sha256(certificate).hexdigest()[:12]


def reload(bench: Bench) -> None:
    """SIGHUP with renewed certificates, then with broken ones."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    ledger = Ledger()
    load = Load(bench.node, ledger, bench.accounts, 77, Mix(small=4, large=1, bdat=1, submission=2, readers=2))
    before = served(bench.node.ports["pop3s"])
    with Knocker(bench.node.ports["smtp"]) as smtp, Knocker(bench.node.ports["pop3"]) as pop3:
        load.start()
        with Smtp(bench.node, "submissions", tls=True) as old:
            time.sleep(1)
            renewed = subprocess.run(
                bench.node.program("certs", "renew"),
                capture_output=True,
                text=True,
                check=False,
            )
            for _ in range(20):
                bench.node.signal(signal.SIGHUP)
                time.sleep(0.1)
            after = served(bench.node.ports["pop3s"])
            old.demand(b"NOOP", b"250")
            for path in (bench.node.state / "certs").glob("*.pem"):
                path.write_text("no certificate\n")
            bench.node.signal(signal.SIGHUP)
            time.sleep(1)
            still = served(bench.node.ports["pop3s"])
        load.stop()
    print(
        f"reload: served {before}, after renewal ({renewed.returncode}) and SIGHUP {after}, with broken files {still}"
    )
    print(f"reload:   smtp {smtp.report()}; pop3 {pop3.report()}; clients {dict(load.trouble)}", flush=True)
    if before == after or after != still:
        bench.flaw("reload: the wrong certificate is served")
    found, _ = look(bench.node, ledger, bench.accounts, lambda ident: False)
    for one in ledger.check(found).flaws[:5]:
        bench.flaw("reload", one)
    print(f"reload:   {ledger.count(State.ACCEPTED)} accepted meanwhile")


PARTS: Final[Sequence[Callable[[Bench], None]]] = (restart, gap, drain, reload)


def main() -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *(part.__name__ for part in PARTS)])
    parser.add_argument("--times", type=int, default=5, help="restarts")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    Ports.option(parser)
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}")
    flaws = 0
    for part in PARTS:
        if chosen.parts and part.__name__ not in chosen.parts:
            continue
        with tempfile.TemporaryDirectory(prefix="restart-gap-") as temporary:
            bench = Bench(chosen, Path(temporary))
            try:
                part(bench)
            finally:
                bench.close()
            flaws += bench.flaws
    print(f"{flaws} flaws")
    return 1 if flaws else 0


if __name__ == "__main__":
    sys.exit(main())
