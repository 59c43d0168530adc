"""The workloads: their names, what they do, and in which unit they are compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.suite.generator import Result
from benchmarks.suite.measuring import Accounts, Subject, figures

# The accounts of each kind of workload: what one leaves behind does not disturb another one.
_RECEIVERS: Final = Accounts(0, 100)
_THOUSANDS: Final = Accounts(100, 4)
_LARGE: Final = Accounts(160, 4)
_WATCHED: Final = Accounts(190, 1)
_MEBIBYTES_10: Final = 10 << 20


@dataclass(frozen=True)
class Workload:
    """A workload. `run` returns its figures; "value" is the one that is compared.

    @ivar is_cost: whether a smaller value is better.
    """

    name: str
    text: str
    unit: str
    run: Callable[[Subject], Result]
    is_cost: bool = False


def _receive(
    number: int, connections: int, each: int = 1, octets: int = 4096, accounts: Accounts = _RECEIVERS, **options: Any
) -> Callable[[Subject], Result]:
    """Receive messages. Each of them is then fetched, compared and deleted."""
    service, tls = options.pop("service", "smtp"), options.pop("tls", "none")

    def run(subject: Subject) -> Result:
        subject.take_all(accounts)
        given = {"conc": connections, "size": octets, "timeout": 60, **accounts.options(), **options}
        # One message for each account first: maildrops and processes exist then, and passwords have been verified.
        warm = subject.load("smtp", service, tls, **{**given, "n": max(accounts.count, connections), "size": 2048})
        subject.check(warm)
        arrived = subject.wait_for(accounts, warm["acked"])
        numbers = {"n": subject.scaled(number), "per_conn": each, "max_time": subject.seconds}
        with subject.cost() as cost:
            result = subject.load("smtp", service, tls, **{**given, **numbers})
        subject.check(result)
        accepted = result["acked"]
        subject.wait_for(accounts, arrived + accepted)
        subject.take_all(accounts, arrived + accepted)
        rate = accepted / max(cost.seconds, result["wall_s"])
        unit = octets / 1e6 if octets > 1 << 20 else 1
        told = {"value": rate * unit, "acknowledged": accepted / result["wall_s"] * unit}
        return {**figures(result, cost, accepted), **told}

    return run


def _handshakes(version: str, **options: Any) -> Callable[[Subject], Result]:
    def run(subject: Subject) -> Result:
        # What the client verifies is its own cost.
        given = {"tls_version": version, "no_verify": True, "conc": 8, "max_time": subject.seconds, **options}
        with subject.cost() as cost:
            result = subject.load("handshake", "pop3s", "implicit", n=subject.scaled(3000), **given)
        subject.check(result)
        done = result["sessions_ok"]
        return {**figures(result, cost, done), "value": done / result["wall_s"]}

    return run


def _sessions(number: int, connections: int) -> Callable[[Subject], Result]:
    def run(subject: Subject) -> Result:
        subject.fill(_THOUSANDS, 1000)
        accounts = Accounts(_THOUSANDS.first, connections)
        return _listed(subject, accounts, number, connections, 1000)

    return run


def _listed(subject: Subject, accounts: Accounts, number: int, connections: int, messages: int) -> Result:
    """Sessions with STAT, LIST and UIDL."""
    steps = "stat,list,uidl"
    # The first session reads what the next ones find in memory.
    subject.sessions(accounts, steps)
    with subject.cost() as cost:
        result = subject.sessions(accounts, steps, subject.scaled(number), conc=connections, max_time=subject.seconds)
    done = result["sessions_ok"]
    if result["stat_msgs"] != done * messages:
        subject.flaw(f"{done} sessions saw {result['stat_msgs']} messages, not {messages} each")
    return {**figures(result, cost, done), "value": done / result["wall_s"]}


def _retrieve(**options: Any) -> Callable[[Subject], Result]:
    def run(subject: Subject) -> Result:
        subject.fill(_THOUSANDS, 1000)
        with subject.cost() as cost:
            given = {"conc": 1, "max_time": subject.seconds, **options}
            result = subject.sessions(_THOUSANDS, "stat,retr", max(4, subject.scaled(12)), **given)
        return {**figures(result, cost, result["retr"]), "value": result["retr"] / result["wall_s"]}

    return run


def _retrieve_large(**options: Any) -> Callable[[Subject], Result]:
    def run(subject: Subject) -> Result:
        subject.fill(_LARGE, 5, _MEBIBYTES_10)
        with subject.cost() as cost:
            result = subject.sessions(_LARGE, "stat,retr", 8, conc=2, **options)
        return {**figures(result, cost, result["retr"]), "value": result["retr_bytes"] / 1e6 / result["wall_s"]}

    return run


def _retrieve_and_delete(subject: Subject) -> Result:
    subject.fill(_RECEIVERS, 50)
    with subject.cost() as cost:
        result = subject.sessions(_RECEIVERS, "stat,retr,dele", conc=100)
    if result["deleted"] != 5000 or subject.count(_RECEIVERS):
        subject.flaw(f"{result['deleted']} of 5000 messages were deleted")
    return {**figures(result, cost, result["retr"]), "value": result["retr"] / result["wall_s"]}


def _listing_delay(subject: Subject) -> Result:
    """From the 250 to the POP3 session that sees the message."""
    subject.take_all(_WATCHED)
    port = subject.server.ports["pop3"]
    with subject.cost() as cost:
        options = {"n": subject.scaled(200), "timeout": 20, **_WATCHED.options()}
        result = subject.load("e2e", "smtp", pop_port=port, **options)
    subject.check(result)
    subject.take_all(_WATCHED, result["acked"])
    return {**figures(result, cost, result["sessions_ok"]), "value": result["p50_ms"]}


def _large_maildrop(messages: int, account: int) -> Callable[[Subject], Result]:
    def run(subject: Subject) -> Result:
        accounts = Accounts(account, 1)
        subject.fill(accounts, messages, 1024)
        result = _listed(subject, accounts, 30 if messages >= 10_000 else 300, 1, messages)
        return {**result, "value": result["p50_ms"]}

    return run


def _idle(number: int, log_in: bool) -> Callable[[Subject], Result]:
    def run(subject: Subject) -> Result:
        subject.settle()
        before, began = subject.server.memory(), time.monotonic()
        with subject.idle(number, log_in) as opened:
            subject.settle()
            after = subject.server.memory()
        told = {"units": opened, "seconds": time.monotonic() - began, "peak_mib": after}
        return {**told, "value": 1024 * (after - before) / max(1, opened)}

    return run


_MESSAGES: Final = "messages/s"
_MEGABYTES: Final = "MB/s"
_MS: Final = "ms"
_TLS_12: Final = "ECDHE-RSA-AES256-GCM-SHA384"
WORKLOADS: Final = {
    one.name: one
    for one in (
        Workload("M1_1k", "memory of each of 1,000 idle POP3 connections", "KiB", _idle(1000, False), True),
        Workload("M1_auth", "memory of each of 200 logged-in POP3 sessions", "KiB", _idle(200, True), True),
        Workload("S1c1", "receive 4 KiB, a connection each, 1 at a time", _MESSAGES, _receive(1500, 1)),
        Workload("S1c10", "receive 4 KiB, a connection each, 10 at a time", _MESSAGES, _receive(8000, 10)),
        Workload("S1c100", "receive 4 KiB, a connection each, 100 at a time", _MESSAGES, _receive(8000, 100)),
        Workload("S2", "receive 4 KiB, 100 in each of 10 connections", _MESSAGES, _receive(12000, 10, 100)),
        Workload("S3", "receive 10 MiB, 4 at a time", _MEGABYTES, _receive(20, 4, 1, _MEBIBYTES_10, _LARGE)),
        Workload(
            "S4",
            "submission with STARTTLS and AUTH, 10 at a time",
            _MESSAGES,
            _receive(1500, 10, service="submission", tls="starttls", auth=True),
        ),
        Workload("T1_13", "handshakes, TLS 1.3, RSA", "handshakes/s", _handshakes("1.3")),
        Workload("T1_12", "handshakes, TLS 1.2, RSA", "handshakes/s", _handshakes("1.2", cipher=_TLS_12)),
        Workload("P1", "POP3 session with 1,000 messages", "sessions/s", _sessions(200, 1)),
        Workload("P1c4", "POP3 session with 1,000 messages, 4 at a time", "sessions/s", _sessions(600, 4)),
        Workload("P2", "RETR of 4 KiB", _MESSAGES, _retrieve()),
        Workload("P2p", "RETR of 4 KiB, pipelined", _MESSAGES, _retrieve(pipeline=True)),
        Workload("P2s", "RETR of 4 KiB, over TLS", _MESSAGES, _retrieve(tls="implicit")),
        Workload("P3", "RETR of 10 MiB", _MEGABYTES, _retrieve_large()),
        Workload("P3s", "RETR of 10 MiB, over TLS", _MEGABYTES, _retrieve_large(tls="implicit")),
        Workload("P4", "100 users retrieve and delete 50 messages each", _MESSAGES, _retrieve_and_delete),
        Workload("E1", "from 250 to listed in POP3", _MS, _listing_delay, True),
        Workload("B1_100", "POP3 session with 100 messages", _MS, _large_maildrop(100, 180), True),
        Workload("B1_1k", "POP3 session with 1,000 messages", _MS, _large_maildrop(1000, 181), True),
        Workload("B1_10k", "POP3 session with 10,000 messages", _MS, _large_maildrop(10_000, 182), True),
    )
}
