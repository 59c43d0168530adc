"""The course of a probe: one connection as any client makes it, then one for each test, several at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final

from emailsys.wiretap.probe.cleartext import find_clear_passwords, find_injection, judge_starttls
from emailsys.wiretap.probe.connection import Connection
from emailsys.wiretap.probe.judgement import (
    judge_compression,
    judge_groups,
    judge_handshake,
    judge_hello,
    judge_suites,
    judge_versions,
)
from emailsys.wiretap.probe.limits import Deadline, Failure, ProbeError, patiently
from emailsys.wiretap.probe.offers import Accepted, Groups, accepted_groups, accepted_suites
from emailsys.wiretap.probe.opening import Opening, ask_for_tls, extensions_of, greeted
from emailsys.wiretap.probe.report import Report
from emailsys.wiretap.probe.smuggling import VARIANTS, find_smuggling
from emailsys.wiretap.probe.target import Target
from emailsys.wiretap.probe.trials import Trials
from emailsys.wiretap.tls.anchors import Anchors
from emailsys.wiretap.tls.chain import validate
from emailsys.wiretap.tls.names import SSL3, TLS10, TLS11, TLS12, TLS13, VERSIONS
from emailsys.wiretap.verdict import Finding, Verdict

# Connections at a time. Servers often allow ten from one address, and some of them count failed handshakes.
_AT_A_TIME: Final = 3
_DEFLATE: Final = 1  # RFC 3749
#: Versions, newest first: if the time is over, the oldest are missing.
_VERSIONS: Final = (TLS13, TLS12, TLS11, TLS10, SSL3)


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of an examination.

    @ivar anchors: the authorities that are trusted.
    @ivar smuggles: whether messages are sent that test ends of data.
    @ivar recipient: who gets them.
    @ivar now: the time at which certificates must be valid.
    """

    anchors: Anchors
    smuggles: bool = False
    recipient: str = "postmaster"
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


def examine(target: Target, deadline: Deadline, wishes: Wishes, tell: Callable[[str], None]) -> Report:
    """Examines a server. Ends in time, with a report, whatever the server does.

    @param tell: is told what is being done, in a few words; from any thread.
    """
    report = Report(target, time.time())
    try:
        tell("saying hello")
        has_tls = _first_connection(report, deadline, wishes)
        if has_tls:
            _tests_of_tls(report, deadline, tell)
        if wishes.smuggles and not target.protocol.is_pop3:
            for name in VARIANTS:
                tell(f"sending a message with {name}")
                report.add(_judged(f"smuggling {name}", deadline, partial(_smuggle, target, deadline, name, wishes)))
    except ProbeError as error:
        report.error = error.text
        report.add(Finding("connection", *_meaning_of(error, report.was_reached)))
    report.seconds = deadline.elapsed
    return report


def _meaning_of(error: ProbeError, was_reached: bool) -> tuple[Verdict, str, str]:
    advice = {
        Failure.UNREACHABLE: "Check host and port, and whether a firewall is between.",
        Failure.STALLED: "Try again. If the server is slow, give it more time with --timeout.",
        Failure.OUT_OF_TIME: "Give it more time with --timeout.",
        Failure.CLOSED: "Look into the log of the server.",
        Failure.FLOODED: "No client would read this. Check whether it is a mail server.",
        Failure.MALFORMED: "Check whether it is a mail server, and name its protocol with --protocol.",
        Failure.REFUSED: "Look into the log of the server. It may limit connections from one address.",
    }
    bad = error.failure in (Failure.FLOODED, Failure.MALFORMED, Failure.CLOSED) and was_reached
    return (Verdict.BAD if bad else Verdict.UNTESTED), error.text, advice[error.failure]


def _first_connection(report: Report, deadline: Deadline, wishes: Wishes) -> bool:
    """Greeting, extensions, STARTTLS, handshake, extensions again. Returns whether there is TLS."""
    target, connection = report.target, Connection(report.target, deadline)
    is_implicit = target.protocol.has_implicit_tls
    report.began = time.time()
    try:
        with connection:
            report.was_reached = True
            report.peer, report.local = connection.peer, connection.local
            if not is_implicit:
                clear = report.clear = Opening(greeted(connection), extensions_of(connection))
                offer = judge_starttls(clear, target.protocol.is_pop3)
                report.add(offer)
                if not clear.has_starttls:
                    report.add(_judged("clear passwords", deadline, partial(find_clear_passwords, connection, clear)))
                    return False
                ask_for_tls(connection)
            observer = connection.secure()
            report.handshake = observer.handshake
            report.add(*judge_handshake(observer.handshake))
            validation = validate(observer.handshake.certificates, target.name, wishes.now(), wishes.anchors)
            report.path = validation.path
            report.add(*validation.steps)
            greeting = greeted(connection) if is_implicit else ""
            report.secured = Opening(greeting, extensions_of(connection))
            connection.command("QUIT")
    except ProbeError as error:
        if report.handshake is None and connection.observer is None:
            raise
        # Older versions may still work, which the tests of TLS find out.
        check = "handshake" if report.handshake is None else "dialogue in TLS"
        report.add(Finding(check, *_meaning_of(error, report.was_reached)))
    finally:
        report.events = connection.events
    return True


def _judged(check: str, deadline: Deadline, test: Callable[[], Finding]) -> Finding:
    """Runs a test. If it comes to no result, that is the finding."""
    try:
        return patiently(deadline, test)
    except ProbeError as error:
        return Finding(check, Verdict.UNTESTED, f"It could not be tested: {error.text}")


def _tests_of_tls(report: Report, deadline: Deadline, tell: Callable[[str], None]) -> None:
    target = report.target
    trials = Trials(target, deadline)
    others: list[Finding] = []
    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="emailsys probe") as threads:
        try:
            suites = {threads.submit(accepted_suites, trials, version): version for version in _VERSIONS}
            tests = []
            if not target.protocol.has_implicit_tls:
                tests.append(threads.submit(_judged, "command injection", deadline, lambda: _inject(target, deadline)))
                tests.append(threads.submit(_judged, "clear passwords", deadline, lambda: _log_in(target, deadline)))
            found: dict[int, Accepted] = {}
            for done in as_completed(suites):
                found[suites[done]] = done.result()
                tell(f"versions and cipher suites: {VERSIONS[suites[done]]}")
            report.versions = {version: found[version] for version in sorted(found)}
            tell("groups and compression")
            compression = threads.submit(_judged, "compression", deadline, lambda: _compress(trials, report.versions))
            report.groups = accepted_groups(trials, report.versions)
            others = [*(test.result() for test in tests), compression.result()]
        except BaseException:
            # Ctrl-C: the threads must not wait for the server any longer.
            deadline.cancel()
            raise
    report.add(*judge_versions(report.versions), *judge_suites(report.versions))
    report.add(*judge_groups(report.groups or Groups(()), report.versions), *judge_hello(report.versions), *others)
    if not any(accepted.suites for accepted in report.versions.values()) and report.handshake is None:
        report.error = "No version of TLS works with this server."


def _inject(target: Target, deadline: Deadline) -> Finding:
    with Connection(target, deadline) as connection:
        return find_injection(connection)


def _log_in(target: Target, deadline: Deadline) -> Finding:
    with Connection(target, deadline) as connection:
        return find_clear_passwords(connection, Opening(greeted(connection), extensions_of(connection)))


def _smuggle(target: Target, deadline: Deadline, name: str, wishes: Wishes) -> Finding:
    with Connection(target, deadline) as connection:
        return find_smuggling(connection, name, wishes.recipient)


def _compress(trials: Trials, versions: dict[int, Accepted]) -> Finding:
    """TLS 1.3 has no compression."""
    if flaw := next((accepted.flaw for accepted in versions.values() if accepted.flaw and not accepted.suites), ""):
        return Finding("compression", Verdict.UNTESTED, f"It could not be tested: {flaw}")
    older = [accepted for version, accepted in versions.items() if version <= TLS12 and accepted.suites]
    if not older:
        return judge_compression(False)
    newest = max(older, key=lambda accepted: accepted.version)
    answer = trials.offer(newest.version, newest.suites, compressions=(_DEFLATE, 0))
    return judge_compression(answer.hello is not None and answer.hello.compression != 0)
