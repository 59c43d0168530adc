"""A clock that jumps, a process that stands still, and starts with much mail."""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import Final

from benchmarks.crash.clients import Pop3, Smtp
from benchmarks.crash.clock import Clock
from benchmarks.crash.faults.case import Case
from benchmarks.crash.filling import fill
from benchmarks.crash.ledger import State
from benchmarks.crash.load import look
from benchmarks.crash.node import address
from benchmarks.crash.texts import make_text
from emailsys.control.requests import RouteSet
from emailsys.mail.next_hop import TLSPolicy

DAY_SECONDS: Final = 86_400


def clock(case: Case) -> None:
    """The clock jumps two days back, a year ahead, and back, while mail waits for a host that is down."""
    wall = Clock(case.folder)
    environment = wall.environment
    case.start(
        {"queue": {"first_retry": "5s", "max_retry": "10s", "first_pause": "1s", "max_pause": "2s"}},
        environment=environment,
    )
    case.node.command(RouteSet("[127.0.0.1]", TLSPolicy.NONE, case.ports.take()[0], recipient_domain="down.test"))

    def submit(name: str) -> None:
        with Smtp(case.node, "submission") as smtp:
            smtp.login(address("u5"))
            reply = smtp.send(address("u5"), ["x@down.test"], make_text(f"probe-{name}", 300, case.chance))
            case.tell(f"{name}: {reply.decode()}")

    submit("waits from the true time")
    for jump in (-2, 0, 400, 0):
        wall.set(jump * DAY_SECONDS)
        load = case.load()
        time.sleep(2)
        load.stop()
        case.tell(f"clock {jump:+} days: message", case.probe(), dict(load.trouble.most_common(3)))
        if jump == 400:
            submit("accepted a year ahead")
            time.sleep(8)
        rows = [(row["recipient"], row["attempts"], row["due"]) for row in case.node.queued()]
        case.tell(f"queue: {rows[:4]}")
    with Pop3(case.node) as pop3:
        pop3.login(address("u5"))
        bounces = sum(b"Undelivered" in text or b"delivery-status" in text for _, text in pop3.fetch(list(pop3.uidl())))
        case.tell(f"NOTE {bounces} notices to the sender; queue after the clock is right again:")
    before = {row["queue_id"]: row["attempts"] for row in case.node.queued()}
    time.sleep(25)
    for row in case.node.queued():
        attempts = f"{before.get(row['queue_id'])} -> {row['attempts']}"
        case.tell(f"  {row['recipient']} attempts {attempts} in 25 s, due {row['due']}")
    case.again()
    time.sleep(3)
    for row in case.node.queued():
        case.tell(f"  after a restart: attempts {row['attempts']}, due {row['due']}")
    _check_idents(case)


def _check_idents(case: Case) -> None:
    found, _ = look(case.node, case.ledger, case.accounts, lambda ident: True)
    found.wrong = [one for one in found.wrong if "without an ident" not in one]
    flaws = case.ledger.check(found).flaws
    case.tell(f"{len(flaws)} flaws")
    for one in flaws[:5]:
        case.flaw(one)
    for one in case.node.verify()[:5]:
        case.flaw("verify:", one)


def stopped(case: Case) -> None:
    """SIGSTOP for two minutes under load, then SIGCONT."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    case.start()
    load = case.load()
    time.sleep(2)
    before = case.ledger.count(State.ACCEPTED)
    case.node.signal(signal.SIGSTOP)
    began = time.monotonic()
    heard: list[str] = []
    probing = threading.Thread(target=lambda: heard.append(case.probe()))
    probing.start()
    time.sleep(120)
    case.node.signal(signal.SIGCONT)
    took = time.monotonic() - began
    probing.join(60)
    case.tell(f"stopped for {took:.0f} s; a client that came meanwhile:", heard)
    time.sleep(3)
    case.tell("message:", case.probe(), "| login:", case.probe_pop3())
    load.stop()
    case.tell(
        f"accepted {before} before, {case.ledger.count(State.ACCEPTED)} in all; {dict(load.trouble.most_common(4))}"
    )
    case.check()


def restart_time(case: Case) -> None:
    """Starts after SIGKILL, with 10 and with 100,000 messages in a maildrop and in the queue."""
    node = case.start()
    for count in (10, 100_000):
        for what in ("maildrop", "queue"):
            began = time.monotonic()
            to = [address("u0")] if what == "maildrop" else ["x@nowhere.down.test"]
            fill(node, address("u5"), to, count, octets=2000)
            made = time.monotonic() - began
            times = []
            for _ in range(3):
                node.kill()
                times.append(node.start())
            size = (node.state / "mail.sqlite").stat().st_size
            case.tell(
                f"{count} in the {what}: {', '.join(f'{one:.2f}' for one in times)} s (filled in {made:.0f} s, "
                f"file {size / 2**20:.0f} MiB); {node.size()}"
            )
    case.tell(f"SIGTERM with all of them: {node.drain():.2f} s, start {node.start():.2f} s")
