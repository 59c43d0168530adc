"""The report of a probe as an HTML page."""

from __future__ import annotations

from emailsys.cli.probe.text import conclusion
from emailsys.wiretap.export import Block, Dialogue, Prose, Table, Verdicts, page_of
from emailsys.wiretap.probe.report import Report, explained_extensions
from emailsys.wiretap.tls.names import GROUPS, VERSIONS, is_post_quantum, name_in
from emailsys.wiretap.tls.suites import suite


def report_page(report: Report) -> str:
    """Returns the whole page."""
    target, groups = report.target, report.groups
    blocks: list[Block] = [
        Prose("Verdict", (f"{str(report.verdict).upper()}: {conclusion(report)}",)),
        Verdicts("Findings", [finding for finding in report.findings if not finding.about]),
    ]
    steps = [finding for finding in report.findings if finding.about]
    if steps:
        blocks.append(Verdicts("Certificates, step by step", steps, " ← ".join(report.path)))
    if report.versions:
        rows = [
            (VERSIONS[version], ", ".join(suite(code).openssl or suite(code).name for code in accepted.suites) or "no")
            for version, accepted in sorted(report.versions.items(), reverse=True)
        ]
        blocks.append(Table("Versions and cipher suites", ("version", "accepted suites"), rows))
    if groups is not None and groups.groups:
        kinds = [(name_in(GROUPS, one), "post-quantum" if is_post_quantum(one) else "") for one in groups.groups]
        blocks.append(Table("Key exchange", ("group", "kind"), kinds))
    for title, opening in (("Extensions", report.clear), ("Extensions in TLS", report.secured)):
        if opening is not None and opening.extensions:
            blocks.append(Table(title, ("extension", "meaning"), explained_extensions(target, opening)))
    if report.events:
        blocks.append(Dialogue(report.conversation()))
    return page_of(f"Probe of {target}", blocks, lead=f"The server {target} as a client sees it ({target.protocol}).")
