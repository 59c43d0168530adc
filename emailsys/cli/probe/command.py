"""The command `probe`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from emailsys.cli.command_group import examples
from emailsys.cli.exporting import export_option, write_page
from emailsys.cli.options import Refused, as_json, ca_file
from emailsys.cli.output import Progress, print_json
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.wiretap.probe.limits import Deadline
    from emailsys.wiretap.probe.report import Report
    from emailsys.wiretap.probe.target import Target
    from emailsys.wiretap.tls.anchors import Anchors

_PROTOCOLS: Final = ("smtp", "submission", "submissions", "pop3", "pop3s")
# Seconds of the MX lookup.
_LOOKUP: Final = 5.0
_EXAMPLES = """
emailsys probe example.org                       the host that takes mail for a domain, port 25
emailsys probe pop.example.org:995               implicit TLS, known by the port
emailsys probe localhost:2587 --protocol submission --ca certs/ca.pem
emailsys probe mx.example.org --export mx.html   a page that shows everything
emailsys probe mx.example.org --json | jq .versions
"""


@click.command(epilog=examples(_EXAMPLES))
@click.argument("host", metavar="HOST[:PORT]")
@click.option("--protocol", type=click.Choice(_PROTOCOLS), help="Default: by the port; on other ports by the greeting.")
@click.option("--mx/--no-mx", default=None, help="Look up MX records. Default: if there is no port and no protocol.")
@click.option("--name", default="", metavar="NAME", help="Name that the certificate must have. Default: HOST.")
@ca_file
@click.option(
    "--timeout",
    type=click.FloatRange(1, 3600),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="The probe ends after this time. One answer may take 10 seconds.",
)
@click.option("--intrusive", is_flag=True, help="Also send messages that test SMTP smuggling, to hosts of your own.")
@click.option(
    "--recipient", default="postmaster", show_default=True, metavar="ADDRESS", help="Recipient of these messages."
)
@click.option(
    "--hosts",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File with your own hosts, one on a line. Default: probe-hosts, beside mail.toml.",
)
@click.option("--nameserver", default="", metavar="ADDRESS[:PORT]", help="Name server of the MX lookup.")
@export_option
@as_json
def probe(
    host: str,
    protocol: str | None,
    mx: bool | None,
    name: str,
    ca: Path | None,
    timeout: float,
    intrusive: bool,
    recipient: str,
    hosts: Path | None,
    nameserver: str,
    page: Path | None,
    as_json: bool,
) -> int:
    """Examine another mail server as a client sees it: dialogue, TLS, certificates, known weaknesses.

    The tests are harmless: no password and, without --intrusive, no message is sent. Each finding has a verdict and
    says what to do.

    The exit status is 0 if nothing needs to be changed, 1 if there are faults that attackers can use, 2 if there are
    only weaknesses, 75 if not everything could be tested, 69 if the server cannot be reached.
    """
    from emailsys.wiretap.probe.examination import Wishes, examine
    from emailsys.wiretap.probe.limits import Deadline, ProbeError

    progress = Progress(as_json)
    deadline = Deadline(timeout)
    anchors = _anchors(ca)
    _check_recipient(recipient)
    try:
        target = _target(host, protocol, mx, name, nameserver, deadline, progress)
    except ProbeError as error:
        progress.tell("")
        raise Refused(error.text, Exit.UNAVAILABLE) from None
    if intrusive and not target.is_on_loopback:
        _require_own(target.host, hosts)
    report = examine(target, deadline, Wishes(anchors, intrusive, recipient), progress.tell)
    progress.tell("")
    if page is not None:
        from emailsys.cli.probe.page import report_page

        write_page(page, report_page(report))
    if page is not None and str(page) == "-":
        return _status(report)
    if as_json:
        print_json(report.to_json())
    else:
        from emailsys.cli.probe.text import report_text

        click.echo(report_text(report))
    return _status(report)


def _status(report: Report) -> Exit:
    from emailsys.wiretap.verdict import Verdict

    if not report.was_reached:
        return Exit.UNAVAILABLE
    if report.verdict is Verdict.BAD:
        return Exit.FAILED
    if not report.is_complete:
        return Exit.TEMPORARY
    return Exit.WEAK if report.verdict is Verdict.WEAK else Exit.OK


def _anchors(ca: Path | None) -> Anchors:
    from emailsys.wiretap.tls.anchors import anchors_of_file, system_anchors

    if ca is None:
        return system_anchors()
    found = anchors_of_file(ca)
    if not len(found):
        raise Refused(f"{ca}: contains no certificate in PEM form", Exit.CONFIG)
    return found


def _check_recipient(recipient: str) -> None:
    from emailsys.mail.address import AddressSyntaxError, parse

    # RFC 5321 §4.5.1: postmaster is accepted without a domain.
    if recipient.lower() != "postmaster":
        try:
            address = str(parse(recipient))
        except AddressSyntaxError as error:
            raise click.BadParameter(f"{recipient!r} is no mail address: {error}") from None
        if not address.isascii():
            raise click.BadParameter("an address in ASCII is necessary")


def _require_own(host: str, hosts: Path | None) -> None:
    from emailsys.cli.probe.own_hosts import NotOwn, default_file, require_own

    try:
        require_own(host, hosts or default_file())
    except NotOwn as error:
        raise Refused(str(error), Exit.NO_PERMISSION) from None


def _target(
    text: str,
    protocol: str | None,
    mx: bool | None,
    name: str,
    nameserver: str,
    deadline: Deadline,
    progress: Progress,
) -> Target:
    from emailsys.wiretap.probe.detection import detected
    from emailsys.wiretap.probe.target import (
        PORTS,
        Protocol,
        Target,
        a_labels,
        find_addresses,
        is_address,
        protocol_of,
        split,
    )

    try:
        host, port = split(text)
        expected = a_labels(name) if name else ""
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    by_default = port is None and protocol is None and not is_address(host) and host != "localhost"
    if mx or (mx is None and by_default):
        host = _mail_host(host, bool(mx), nameserver, deadline, progress)
    spoken = Protocol(protocol) if protocol else protocol_of(port) if port is not None else Protocol.SMTP
    progress.tell(f"looking up {host}")
    port = port if port is not None else PORTS[spoken or Protocol.SMTP]
    target = Target(host, port, spoken or Protocol.SMTP, find_addresses(host, deadline), expected or host)
    if spoken is None:
        progress.tell("finding out the protocol")
        target = detected(target, deadline)
    return target


def _mail_host(domain: str, is_required: bool, nameserver: str, deadline: Deadline, progress: Progress) -> str:
    """Returns the preferred host of a domain's MX records; the domain itself if it has none."""
    from emailsys.cli.probe.mail_hosts import NoAnswer, mail_hosts
    from emailsys.wiretap.probe.target import a_labels, split

    progress.tell(f"looking up the MX records of {domain}")
    try:
        server, port = split(nameserver) if nameserver else ("", None)
        found = mail_hosts(domain, [(server, port or 53)] if server else (), min(_LOOKUP, deadline.answer()))
        hosts = [a_labels(one) for one in found]
    except NoAnswer as error:
        progress.tell("")
        if is_required or "accepts no mail" in str(error):
            raise Refused(str(error), Exit.UNAVAILABLE) from None
        click.echo(f"emailsys: {error}; {domain} itself is probed", err=True)
        return domain
    except ValueError as error:
        raise Refused(f"the MX records of {domain} are wrong: {error}", Exit.UNAVAILABLE) from None
    progress.tell("")
    if not hosts:
        if is_required:
            raise Refused(f"{domain} has no MX records", Exit.UNAVAILABLE)
        return domain
    others = f", then {', '.join(hosts[1:5])}" if hosts[1:] else ""
    click.echo(f"emailsys: {domain} receives mail at {hosts[0]}{others}", err=True)
    return hosts[0]
