"""The command `catch`: a mail server for developers that accepts everything, keeps it, and sends nothing on."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emailsys.cli.amounts import octets_of
from emailsys.cli.command_group import examples
from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit
from emailsys.mail.quantities import counted

if TYPE_CHECKING:
    from emailsys.testing.catch import Catcher
    from emailsys.testing.message import Message

_EXAMPLES = """
emailsys catch                                     until Ctrl-C, one line for each message
emailsys catch --fail "451 at the first RCPT for x@" --fail "slow by 2 s"
emailsys catch --host 0.0.0.0 --name mail.dev.example --keep 500
emailsys catch --tls --fail "-ERR at the first PASS"
emailsys catch --smtp 0 --json --wait 1 --to bob@example.com --timeout 30
"""
_FOLDER = "catch"
_LOCK = "catch.lock"


def frameworks(host: str, port: int) -> dict[str, str]:
    """Return settings to paste, by framework."""
    return {
        "Django": f'EMAIL_HOST = "{host}"\nEMAIL_PORT = {port}',
        "Flask-Mail": f'MAIL_SERVER = "{host}"\nMAIL_PORT = {port}',
        "Rails": f'config.action_mailer.smtp_settings = {{ address: "{host}", port: {port} }}',
        "Laravel": f"MAIL_MAILER=smtp\nMAIL_HOST={host}\nMAIL_PORT={port}",
        "Symfony": f"MAILER_DSN=smtp://{host}:{port}",
        "Spring Boot": f"spring.mail.host={host}\nspring.mail.port={port}",
        "nodemailer": f'nodemailer.createTransport({{ host: "{host}", port: {port} }})',
        "smtplib": f'smtplib.SMTP("{host}", {port})',
    }


@click.command("catch", epilog=examples(_EXAMPLES))
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option(
    "--smtp",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port of SMTP; 0 for any free one. Default: 1025, or the next free one.",
)
@click.option(
    "--pop3",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port of POP3; 0 for any free one. Default: 1110, or the next free one.",
)
@click.option(
    "--http",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port of the web face and the HTTP API; 0 for any free one. Default: 1080, or the next free one.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A name by which browsers may open this host, besides its address and localhost. Others get 421. Repeatable.",
)
@click.option("--tls", is_flag=True, help="Offer STARTTLS and STLS, with a certificate of an authority of its own.")
@click.option(
    "--keep",
    type=click.IntRange(0),
    default=10_000,
    show_default=True,
    metavar="N",
    help="Keep the newest N messages, delete older ones; 0 for no limit.",
)
@click.option(
    "--keep-size",
    default="256MiB",
    show_default=True,
    metavar="SIZE",
    help="Keep the newest messages up to this size in all; 0 for no limit.",
)
@click.option("--file", "mbox", metavar="FILE", help="Append each message to this mbox file, too.")
@click.option("--state", metavar="DIR", help="Keep the mail in DIR/catch. Default: forget it at the end.")
@click.option(
    "--fail",
    "failures",
    multiple=True,
    metavar="SENTENCE",
    help='Let something go wrong: "451 at the first RCPT for x@", "drop after the dot", "slow by 2 s". Repeatable.',
)
@click.option("--failures", "failures_file", metavar="FILE", help="Such sentences, one a line; read again if changed.")
@click.option("--wait", "count", type=click.IntRange(1), metavar="N", help="End with status 0 after N messages.")
@click.option("--to", metavar="ADDRESS", help="With --wait: count only messages to this address, or to NAME.")
@click.option("--subject", metavar="TEXT", help="With --wait: count only messages whose subject contains this.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="End after this time; with --wait, with status 1.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line: the settings, then each message.")
def catch(
    host: str,
    smtp: int | None,
    pop3: int | None,
    http: int | None,
    names: tuple[str, ...],
    tls: bool,
    keep: int,
    keep_size: str,
    mbox: str | None,
    state: str | None,
    failures: tuple[str, ...],
    failures_file: str | None,
    count: int | None,
    to: str | None,
    subject: str | None,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Catch the mail of a program under test: accept everything for anybody, and send nothing on.

    SMTP needs no configuration and no login, and accepts any user name and password. POP3 reads the mail: a user name
    with an @ opens the mail for that address, any other name all mail; any password fits. No message ever leaves this
    machine: the server has no code to connect to another one.
    """
    from emailsys.testing.reactor_thread import new_reactor, no_reactor_installed

    if count is None and (to is not None or subject is not None):
        raise click.UsageError("--to and --subject choose what --wait counts. Add --wait.")
    with no_reactor_installed():
        from emailsys.testing.catch import Catcher, CatchOptions, bind, read_failures
        from emailsys.testing.failures import FailureSyntaxError, parse
        from emailsys.testing.mailbox import Wanted
    from emailsys.pki.recipe import PKIError

    try:
        scripted = [parse(sentence) for sentence in failures]
        if failures_file is not None:
            read_failures(Path(failures_file))
    except FailureSyntaxError as error:
        raise Refused(str(error), Exit.USAGE) from None
    if mbox is not None:
        # What cannot be written is said before the first message.
        os.close(os.open(mbox, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    with ExitStack() as held:
        folder = None if state is None else _folder(Path(state), held)
        options = CatchOptions(
            host,
            folder,
            None if mbox is None else Path(mbox),
            scripted,
            None if failures_file is None else Path(failures_file),
            count or 0,
            Wanted(to, subject),
            timeout or 0.0,
            keep,
            octets_of(keep_size),
            names,
            tls,
        )
        services = (("smtp", smtp), ("pop3", pop3), ("http", http))
        try:
            listeners = {name: bind(host, name, port) for name, port in services}
        except OSError as error:
            raise Refused(
                f"{host}: {error.strerror or error}. Another program may listen there; name another port, or 0",
                Exit.UNAVAILABLE,
            ) from None
        ports = {name: listener.getsockname()[1] for name, listener in listeners.items()}
        teller = _Teller(host, ports, folder, as_json)
        catcher = Catcher(new_reactor(), options, teller.message, _warn)
        try:
            catcher.run(listeners, lambda: teller.started(catcher.server.ca))
        except PKIError as error:
            raise Refused(f"{error}", Exit.CONFIG) from None
    return _end(catcher, count)


def _folder(state: Path, held: ExitStack) -> Path:
    from emailsys.supervisor import FolderLock, check_owner, make_state_folder

    make_state_folder(state)
    check_owner(state)
    # A folder of its own: the state folder may be that of a daemon, whose accounts must not be opened to everybody.
    folder = state / _FOLDER
    make_state_folder(folder)
    held.callback(FolderLock.take(folder, _LOCK, "emailsys catch").release)
    return folder


def _warn(text: str) -> None:
    from emailsys.client.text.terminal import safe_line

    click.echo(f"emailsys: {safe_line(text)}", err=True)


def _end(catcher: Catcher, count: int | None) -> int:
    if count is None or catcher.has_all:
        return Exit.OK
    others = counted(catcher.arrived - catcher.fitting, "other")
    _warn(f"{catcher.fitting} of {counted(count, 'message')} arrived that fit, and {others}")
    return Exit.FAILED


class _Teller:
    """Prints the settings, and each message."""

    def __init__(self, host: str, ports: dict[str, int], folder: Path | None, as_json: bool) -> None:
        # Programs do not connect to "every address".
        self._host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        self._ports, self._folder, self._as_json = ports, folder, as_json

    @property
    def _url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._ports['http']}"

    def started(self, ca: Path | None) -> None:
        """Print the settings. @param ca: the certificate that clients must trust; None without TLS."""
        host, smtp, pop3 = self._host, self._ports["smtp"], self._ports["pop3"]
        if self._as_json:
            self._print_json(
                {
                    "event": "started",
                    "host": host,
                    "smtp": smtp,
                    "pop3": pop3,
                    "web": f"{self._url}/catch",
                    "api": f"{self._url}/catch/messages",
                    "ca": None if ca is None else str(ca),
                    "frameworks": frameworks(host, smtp),
                }
            )
            return
        kept = "forgotten at the end" if self._folder is None else f"kept in {self._folder}"
        smtp_tls, pop3_tls = ("no TLS", "") if ca is None else ("STARTTLS", "STLS; ")
        lines = [
            "emailsys catch: mail for anybody is accepted and kept here. Nothing is sent on.",
            f"  SMTP  {host} port {smtp}   {smtp_tls}; no login needed, any user name and password fit",
            f"  POP3  {host} port {pop3}   {pop3_tls}user name: an address, or `all` for all mail; any password fits",
            f"  Mail in the browser: {self._url}/catch",
            f"  As JSON: {self._url}/catch/messages and /catch/failures;",
            "        and the API of the daemon under /api/v1/ (token: an address, or `all`)",
            f"  The mail is {kept}.",
            *([] if ca is None else [f"  Programs that use TLS must trust {ca}"]),
            "",
        ]
        for name, text in frameworks(host, smtp).items():
            head, *more = text.split("\n")
            lines += [f"  {name:<12} {head}", *(f"  {'':<12} {line}" for line in more)]
        lines += ["", "Ctrl-C ends it. Messages:"]
        self._print("\n".join(lines))

    def message(self, message: Message) -> None:
        """Print a message on one line."""
        if self._as_json:
            self._print_json({"event": "message", **message.summary()})
            return
        from emailsys.client.text.terminal import safe_line

        shown = list(message.envelope_to[:5])
        if len(message.envelope_to) > len(shown):
            shown.append(f"and {len(message.envelope_to) - len(shown)} more")
        when = message.received_at.astimezone().strftime("%H:%M:%S")
        who = f"{message.sender or '<>'} -> {', '.join(shown)}"
        self._print(safe_line(f"{when}  {who}  {message.subject[:200] or '(no subject)'}  {len(message.raw):,} octets"))

    def _print_json(self, value: dict[str, Any]) -> None:
        self._print(json.dumps(value, ensure_ascii=True))

    def _print(self, text: str) -> None:
        try:
            print(text, flush=True)
        except UnicodeEncodeError:
            encoding = sys.stdout.encoding or "ascii"
            print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
