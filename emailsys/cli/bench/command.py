"""The command `bench`."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import click

from emailsys.cli.command_group import examples
from emailsys.cli.options import AddressType, Refused, as_json, ca_file
from emailsys.cli.output import Progress, print_json
from emailsys.cli.password import Source, ask_password, password_options
from emailsys.config.exit_status import Exit
from emailsys.mail.address import Address

_EXAMPLES: Final = """
emailsys bench alice@example.test --smtp localhost:2525 --pop3 localhost:2110 --ca certs/ca.pem
emailsys bench alice@example.test --submit --smtp localhost:2587 --pop3 localhost:2110 --tls none
emailsys bench alice@example.test --messages 10000 --connections 50 --each 100 --password-stdin <pw
emailsys bench alice@example.test --password-command 'pass mail' --json | jq .latency_ms
"""


class HostPort(click.ParamType[tuple[str, int]]):
    """A host and a port, such as localhost:2525 or [::1]:2525."""

    name = "HOST:PORT"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Return both."""
        if isinstance(value, tuple):
            return value
        host, _, port = value.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            self.fail(f"found {value!r}; allowed: a host and a port, such as localhost:2525", param, ctx)
        return host, int(port)


@click.command(epilog=examples(_EXAMPLES))
@click.argument("address", type=AddressType())
@click.option("--smtp", type=HostPort(), default="localhost:2525", show_default=True, help="Where to send.")
@click.option("--pop3", type=HostPort(), default="localhost:2110", show_default=True, help="Where to fetch.")
@click.option("--submit", is_flag=True, help="Log in before sending; --smtp is a submission port then.")
@click.option(
    "--messages", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="Number of messages."
)
@click.option(
    "--octets", type=click.IntRange(400, 50_000_000), default=4096, show_default=True, help="Size of each message."
)
@click.option(
    "--connections", type=click.IntRange(1, 500), default=10, show_default=True, help="Connections at the same time."
)
@click.option("--each", type=click.IntRange(1, 1000), default=1, show_default=True, help="Messages on each connection.")
@click.option(
    "--patience",
    type=click.FloatRange(1, 3600),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a message that does not arrive.",
)
@click.option(
    "--tls",
    type=click.Choice(["starttls", "none"]),
    default="starttls",
    show_default=True,
    help="none: only for servers on this machine.",
)
@ca_file
@password_options
@as_json
def bench(
    address: Address,
    smtp: tuple[str, int],
    pop3: tuple[str, int],
    submit: bool,
    messages: int,
    octets: int,
    connections: int,
    each: int,
    patience: float,
    tls: str,
    ca: Path | None,
    source: Source,
    as_json: bool,
) -> int:
    """Send many messages to an account of yours, fetch them, and compare each by its digest.

    Any server with SMTP and POP3 can be measured. The messages are deleted at the end; what else is in the maildrop
    stays. The clients are Python threads, which take a part of the machine themselves: on the machine of the server,
    rates are lower than what the server can do.

    The exit status is 0 if each message was accepted, and has arrived once and unchanged; 1 if not; 69 if the server
    cannot be reached or refuses the login.
    """
    from emailsys.cli.bench.load import ERRORS, Messages, Target, lines, words_of
    from emailsys.cli.bench.load import bench as run

    if tls == "none":
        _require_loopback(smtp[0], pop3[0])
    try:
        context = None if tls == "none" else ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise Refused(f"{ca}: contains no certificate in PEM form", Exit.CONFIG) from None
    target = Target(smtp, pop3, str(address), _password(source, address), context, submit)
    progress = Progress(as_json)
    texts = Messages(messages, octets, str(address) if submit else "bench@bench.invalid", str(address))
    try:
        outcome = run(target, texts, connections, each, patience, progress.tell)
    except ERRORS as error:
        progress.tell("")
        raise Refused(f"{smtp[0]}:{smtp[1]}, {pop3[0]}:{pop3[1]}: {words_of(error)}", Exit.UNAVAILABLE) from None
    progress.tell("")
    if as_json:
        print_json(outcome.to_json())
    else:
        click.echo("\n".join(lines(outcome)))
    return Exit.OK if outcome.is_good else Exit.FAILED


def _password(source: Source, address: Address) -> str:
    if source.asks:
        return str(click.prompt(f"Password for {address}", hide_input=True, err=True))
    return ask_password(source, address)


def _require_loopback(*hosts: str) -> None:
    """@raise Refused: a password would be sent in clear over a network."""
    from emailsys.mail.ip import is_loopback

    for host in hosts:
        if host != "localhost" and not is_loopback(host):
            raise Refused(f"{host} is not this machine: without TLS, others would read the password", Exit.USAGE)
