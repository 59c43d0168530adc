"""The report of a probe as text for a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from typing import Final

import click

from emailsys.wiretap.conversation import Direction, Kind
from emailsys.wiretap.explain import message
from emailsys.wiretap.probe.report import Report, explained_extensions
from emailsys.wiretap.tls.names import GROUPS, VERSIONS, is_post_quantum, name_in
from emailsys.wiretap.tls.suites import suite
from emailsys.wiretap.verdict import Finding, Verdict

# Columns of text, and those below which nothing can be read.
_WIDTH: Final = 100
_LEAST_WIDTH: Final = 50
_COLOURS: Final = {
    Verdict.GOOD: "green",
    Verdict.NOTE: None,
    Verdict.UNTESTED: "yellow",
    Verdict.WEAK: "yellow",
    Verdict.BAD: "red",
}
# What the worst verdict means for the server.
_CONCLUSIONS: Final = {
    Verdict.GOOD: "Nothing needs to be changed.",
    Verdict.NOTE: "Nothing needs to be changed.",
    Verdict.UNTESTED: "Not everything could be tested; what could be needs no change.",
    Verdict.WEAK: "There are weaknesses that should be corrected. Attackers cannot use them directly.",
    Verdict.BAD: "There are faults that attackers can use.",
}


def conclusion(report: Report) -> str:
    """Returns what the report means, in a sentence or two, and the names of the worst findings."""
    if report.error and not report.versions and report.verdict is Verdict.UNTESTED:
        return "The server could not be examined."
    more = (
        " Not everything could be tested." if report.verdict is not Verdict.UNTESTED and not report.is_complete else ""
    )
    found = ""
    if report.verdict in (Verdict.WEAK, Verdict.BAD):
        worst = dict.fromkeys(one.check for one in report.findings if one.verdict is report.verdict)
        found = f" Correct: {', '.join(worst)}." if worst else ""
    return _CONCLUSIONS[report.verdict] + found + more


def report_text(report: Report) -> str:
    """Returns the whole report."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    target = report.target
    yield click.style(f"{target}", bold=True) + f" ({', '.join(target.addresses[:4])}), {target.protocol}"
    yield from _dialogue(report)
    yield from _handshake(report)
    yield from _accepted(report)
    about = None
    for title, findings in (
        ("Certificates", [one for one in report.findings if one.about]),
        ("Findings", [one for one in report.findings if not one.about]),
    ):
        if findings:
            yield from _heading(title)
        for finding in findings:
            if finding.about and finding.about != about:
                about = finding.about
                yield f"  {about}"
            yield from _finding(finding)
    yield ""
    word = click.style(str(report.verdict).upper(), fg=_COLOURS[report.verdict], bold=True)
    yield f"{word}: {conclusion(report)} ({report.seconds:.1f} s)"


def _heading(title: str) -> Iterator[str]:
    yield ""
    yield click.style(title, bold=True)


def _dialogue(report: Report) -> Iterator[str]:
    shown: set[str] = set()
    for title, opening in (("Extensions", report.clear), ("Extensions in TLS", report.secured)):
        if opening is None:
            continue
        if opening.greeting:
            yield from _heading("Greeting")
            yield from (f"  {line}" for line in opening.greeting.split("\n"))
        fresh = [(line, meaning) for line, meaning in explained_extensions(report.target, opening) if line not in shown]
        gone = [line for line in shown if line not in opening.extensions]
        if opening.extensions or gone:
            yield from _heading(title)
        for line, meaning in fresh:
            yield from _wrapped(f"  {line:<22}  ", meaning)
        if shown and len(fresh) < len(opening.extensions):
            yield "  and the others as before" + (f", without {', '.join(sorted(gone))}" if gone else "")
        shown.update(opening.extensions)


def _handshake(report: Report) -> Iterator[str]:
    events = [event for event in report.events if event.kind is Kind.TLS]
    if not events:
        return
    yield from _heading("Handshake")
    began = events[0].at
    for event in events:
        arrow = "->" if event.direction is Direction.OUT else "<-"
        lock = "encrypted" if event.details.get("encrypted") else ""
        yield (
            f"  {(event.at - began) * 1000:7.1f} ms {arrow} {event.octets:>6,} octets  {event.text:<20} {lock:<9} "
            f"{message(event.text).title}"
        ).rstrip()
    if report.handshake is not None:
        yield from _wrapped("  ", report.handshake.summary())
        yield from _wrapped("  ", f"Forward secrecy: {report.handshake.forward_secrecy}.")


def _accepted(report: Report) -> Iterator[str]:
    if report.versions:
        yield from _heading("Versions and cipher suites that are accepted")
    for version, accepted in sorted(report.versions.items(), reverse=True):
        names = ", ".join(suite(code).openssl or suite(code).name for code in accepted.suites)
        yield from _wrapped(f"  {VERSIONS[version]:<8} ", names or ("?" if accepted.flaw else "no"))
    groups = report.groups
    if groups is None or not (groups.groups or groups.primes):
        return
    named = [f"{name_in(GROUPS, one)}{' (post-quantum)' if is_post_quantum(one) else ''}" for one in groups.groups]
    named += [f"DHE with {bits} bits" for bits in groups.primes]
    yield from _heading("Key exchange that is accepted")
    yield from _wrapped("  ", ", ".join(named))


def _finding(finding: Finding) -> Iterator[str]:
    word = click.style(f"{finding.verdict:<10}", fg=_COLOURS[finding.verdict], bold=finding.verdict is Verdict.BAD)
    first, *rest = _wrapped(" " * 14, f"{finding.check}: {finding.text}")
    yield f"    {word}{first.lstrip()}"
    yield from rest
    if finding.advice:
        yield from _wrapped(" " * 14 + "-> ", finding.advice)


def _wrapped(begin: str, text: str) -> list[str]:
    """Returns lines that fit the terminal, the first one with a beginning, the others indented as far."""
    width = max(_LEAST_WIDTH, min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns))
    if len(begin) > width // 2:
        # A stranger's line may be long: beside it there would be a letter on each of many lines.
        above = textwrap.wrap(begin.strip(), width, initial_indent="  ", subsequent_indent="    ")
        return [*above, *textwrap.wrap(text, width, initial_indent=" " * 6, subsequent_indent=" " * 6)]
    return textwrap.wrap(
        text, width, initial_indent=begin, subsequent_indent=" " * len(begin), break_on_hyphens=False
    ) or [begin.rstrip()]
