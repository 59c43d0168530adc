"""The command `try`: start a private mail system on loopback, send a message through it, print sample commands."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from emailsys.cli.command_group import examples
from emailsys.cli.exporting import export_option, write_page
from emailsys.cli.options import Refused, choose_places
from emailsys.cli.password import credentials_of
from emailsys.cli.tryout.daemon_process import RunningDaemon
from emailsys.cli.tryout.dialogue import DialogueFailed
from emailsys.cli.tryout.end_signals import Ended, until_ended
from emailsys.cli.tryout.round_trip import ALICE, BOB, HOST, RoundTrip, make_round_trip
from emailsys.cli.tryout.sample_commands import Line, ready_made
from emailsys.config.exit_status import Exit
from emailsys.config.locations import StateChoice, default_state
from emailsys.control.requests import DomainAdd, DomainList, Trace, UserAdd, UserList, UserPassword, WebLogin
from emailsys.mail.address import Address

FOLDER_NAME: Final = "try"
LOCK_NAME: Final = "try.lock"
CONFIG_NAME: Final = "emailsys.toml"
# Offset of each service from the base port; base 2000 gives the ports of the embedded default.
PORTS: Final[Mapping[str, int]] = {
    "smtp": 525,
    "submission": 587,
    "submissions": 465,
    "pop3": 110,
    "pop3s": 995,
    # The web face.
    "http": 80,
}
DEFAULT_BASE: Final = 2000
# What the daemon says of a port that another program has taken.
_PORT_IN_USE: Final = "already in use"
# Number of ports that are tried for each service.
_TRIES: Final = 200
# Without letters and digits that look alike; 16 of these 31 characters are 79 bits.
_PASSWORD_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # noqa: S105


_EXAMPLES: Final = """
emailsys try                  runs until Ctrl-C, and prints commands to paste into a terminal
emailsys try --once --export flow.html      draw the connections, the message and its way
emailsys try --once           for CI: the exit status tells whether it works
emailsys try --once --json | jq .queue_id
"""


@click.command("try", epilog=examples(_EXAMPLES))
@click.option("--state", metavar="DIR", help="State folder; everything is kept in DIR/try.")
@click.option(
    "--once", is_flag=True, help="End after the test message; the exit status is 0 only if every check passed."
)
@click.option(
    "--ports",
    "base",
    type=click.IntRange(1024, 64000),
    default=DEFAULT_BASE,
    show_default=True,
    help="Use the ports BASE+525, +587, +465, +110, +995 and +80, or the next free ones.",
    metavar="BASE",
)
@export_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def try_it(state: str | None, once: bool, base: int, page: Path | None, as_json: bool) -> int:
    """See it work: start a private mail system on loopback and send a message through it.

    alice submits a message over STARTTLS, bob fetches it over POP3S, and every octet is compared. You need neither
    root nor DNS nor free standard ports. Nothing is written outside the state folder.
    """
    from emailsys.supervisor import FolderLock, check_owner, is_foreign, make_state_folder

    where = choose_places(state, None)
    own = default_state(os.environ, is_root=False)
    if where.state.is_default and is_foreign(where.folder) and own is not None:
        # The system's own state folder belongs to the user of the daemon.
        where = replace(where, state=StateChoice(own, "of root, for trials", False))
    where.announce()
    folder = where.folder / FOLDER_NAME
    make_state_folder(where.folder)
    check_owner(where.folder)
    make_state_folder(folder)
    lock = FolderLock.take(folder, LOCK_NAME, "emailsys try")
    try:
        return _run(folder, base, once, page, as_json)
    except DialogueFailed as error:
        raise Refused(
            f"the test message failed: {error}. The daemon's log is {folder / 'daemon.log'}", Exit.FAILED
        ) from None
    finally:
        lock.release()


def _run(folder: Path, base: int, once: bool, page: Path | None, as_json: bool) -> int:
    began = time.monotonic()
    passwords, are_new = kept_passwords(folder / "passwords.json")
    daemon = RunningDaemon(folder, folder / CONFIG_NAME, folder / "daemon.log")
    try:
        with until_ended(daemon.stop, "stopping the daemon"):
            _make_store(folder)
            ports = start_on_free_ports(daemon, folder, base)
            prepare_accounts(daemon, passwords, are_new)
            ca = folder / "certs" / "ca.pem"
            trip = make_round_trip(ports, passwords, ca, datetime.now().astimezone())
            _write(folder / "submitted.eml", trip.message)
            _write(folder / "message.eml", trip.fetched)
            lines = ready_made(ports, passwords, ca, folder / "submitted.eml")
            _write(folder / "commands.txt", _as_text(lines).encode())
            if page is not None:
                lives = daemon.ask(Trace(trip.queue_id, 1))["lives"]
                _export(page, trip, lives)
            browser = (
                "" if once else f"http://{HOST}:{ports['http']}{daemon.ask(WebLogin(Address(*BOB.split('@'))))['path']}"
            )
            report = _report(folder, ports, passwords, trip, lines, daemon.pid, browser)
            _write(folder / "commands.json", json.dumps(report, indent=2).encode())
            if as_json:
                click.echo(json.dumps(report, indent=2))
            else:
                _tell(folder, ports, passwords, ca, trip, lines, time.monotonic() - began, once)
            sys.stdout.flush()
            if not once:
                if not as_json:
                    _tell_browser(ports["http"], browser)
                    click.echo("\nThe system keeps running. Press Ctrl-C to end it.", err=True)
                daemon.wait()
                log = folder / "daemon.log"
                raise Refused(f"the daemon has ended unexpectedly; its log is {log}", Exit.UNAVAILABLE)
    except Ended:
        return Exit.INTERRUPTED if once else Exit.OK
    return Exit.OK


def start_on_free_ports(daemon: RunningDaemon, folder: Path, base: int) -> dict[str, int]:
    """Start the daemon, on other ports if another program takes one of them before the daemon does.

    @return: the port of each service.
    @raise Refused: it does not start.
    """
    tries_left = 3
    while True:
        tries_left -= 1
        ports = free_ports(base)
        _write(folder / CONFIG_NAME, _configuration(folder, ports))
        try:
            daemon.start()
        except Refused as error:
            if not tries_left or _PORT_IN_USE not in error.message:
                raise
        else:
            return ports


def _export(page: Path, trip: RoundTrip, lives: Sequence[Mapping[str, Any]]) -> None:
    from emailsys.cli.tryout.poster import poster

    write_page(page, poster(trip, lives))
    if str(page) != "-":
        click.echo(f"the page is {page}", err=True)


def _write(path: Path, octets: bytes) -> None:
    """Write a file atomically with mode 0600: most of these files contain passwords."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(octets)
    draft.replace(path)


def free_ports(base: int) -> dict[str, int]:
    """Return a port for each service: its offset above the base, or the next port that is free on loopback.

    @raise Refused: no port is free.
    """
    # A service never takes the preferred port of another.
    taken = {base + offset for offset in PORTS.values()}
    ports: dict[str, int] = {}
    for service, offset in PORTS.items():
        first = base + offset
        for port in range(first, min(first + _TRIES, 65536)):
            if (port == first or port not in taken) and _is_free(port):
                break
        else:
            raise Refused(f"no free port for {service} from {first} to {first + _TRIES - 1}", Exit.UNAVAILABLE)
        taken.add(port)
        ports[service] = port
    return ports


def _is_free(port: int) -> bool:
    from emailsys.supervisor import expand, has_ipv6

    for host, number in expand([(HOST, port)], has_ipv6()):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, number))
                probe.listen(1)
            except OSError:
                return False
    return True


def _configuration(folder: Path, ports: Mapping[str, int]) -> bytes:
    from emailsys.config.loader import embedded
    from emailsys.config.settings import Listen, WebSettings
    from emailsys.config.toml_text import render

    listens: dict[str, Any] = {
        f"{service}_listen": Listen(((HOST, port),)) for service, port in ports.items() if service != "http"
    }
    listens["web"] = WebSettings(listen=((HOST, ports["http"]),))
    return b"# Overwritten by each `emailsys try`.\n" + render(replace(embedded(folder), **listens)).encode()


def kept_passwords(path: Path) -> tuple[dict[str, str], bool]:
    """Return the passwords of alice and bob, from the last run or new, and whether they are new."""
    try:
        kept = json.loads(path.read_bytes())
        return {address: str(kept[address]) for address in (ALICE, BOB)}, False
    except (OSError, ValueError, KeyError, TypeError):
        passwords = {address: _new_password() for address in (ALICE, BOB)}
        _write(path, json.dumps(passwords, indent=2).encode())
        return passwords, True


def _new_password() -> str:
    return "-".join("".join(secrets.choice(_PASSWORD_ALPHABET) for _ in range(4)) for _ in range(4))


def _make_store(folder: Path) -> None:
    """Create a store in the private folder, as `emailsys init` does."""
    from emailsys.cli.direct_access import on_the_store
    from emailsys.config.loader import embedded
    from emailsys.store.open import Store
    from emailsys.telemetry import Telemetry

    async def nothing(store: Store) -> None:
        """Opening the store creates it."""

    on_the_store(embedded(folder), nothing, Telemetry(), create=True)


def prepare_accounts(daemon: RunningDaemon, passwords: Mapping[str, str], are_new: bool) -> None:
    """Add the domain and the two accounts if they are missing, and set new passwords."""
    if not any(row["name"] == "example.test" for row in daemon.ask(DomainList())):
        daemon.ask(DomainAdd("example.test", Address(*ALICE.split("@"))))
    there = {row["address"] for row in daemon.ask(UserList())}
    for address, password in passwords.items():
        if address in there and not are_new:
            continue
        kind = UserPassword if address in there else UserAdd
        daemon.ask(kind(Address(*address.split("@")), credentials_of(password)))


def _report(
    folder: Path,
    ports: Mapping[str, int],
    passwords: Mapping[str, str],
    trip: RoundTrip,
    lines: list[Line],
    pid: int,
    browser: str,
) -> dict[str, Any]:
    return {
        "state": str(folder),
        "daemon": pid,
        "host": HOST,
        "ports": dict(ports),
        "browser": browser,
        "ca": str(folder / "certs" / "ca.pem"),
        "passwords": dict(passwords),
        "queue_id": trip.queue_id,
        "message": str(folder / "message.eml"),
        "transcript": [{"title": one.title, "lines": one.lines} for one in trip.transcripts],
        "commands": [line.as_json() for line in lines],
    }


def _tell_browser(port: int, link: str) -> None:
    click.secho("\n6. Mail in your browser", bold=True)
    click.echo(
        f"   {link}\n"
        f"   The link works once, within 10 minutes, and logs in as bob. Later, open http://{HOST}:{port}/ and log in\n"
        "   with an address and a password of section 4."
    )


def _as_text(lines: list[Line]) -> str:
    parts: list[str] = []
    for line in lines:
        parts += [f"# {line.name}: {line.about}", line.command]
        # Without indentation, so that it can be pasted.
        parts += ["# after connecting, type or paste:", *line.typed] if line.typed else []
        parts.append("")
    return "\n".join(parts)


def _tell(
    folder: Path,
    ports: Mapping[str, int],
    passwords: Mapping[str, str],
    ca: Path,
    trip: RoundTrip,
    lines: list[Line],
    seconds: float,
    once: bool,
) -> None:
    colours = {"C": "cyan", "S": "green", "*": "yellow"}
    click.echo("C: the client, S: the server, *: a comment.\n")
    for number, transcript in enumerate(trip.transcripts, start=1):
        click.secho(f"{number}. {transcript.title}", bold=True)
        for who, text in transcript.lines:
            click.echo(f"   {click.style(who, fg=colours[who])}  {text}")
        click.echo()
    click.secho("3. The message is unchanged", bold=True)
    click.echo(
        f"   All {len(trip.message)} octets that alice submitted arrived unchanged. The system added "
        f"{len(trip.fetched) - len(trip.message)} octets\n"
        f"   of header fields in front of them: {', '.join(trip.in_front)}.\n"
        f"   message         {folder / 'message.eml'}\n"
        f"   store           {folder / 'mail.sqlite'}, message {trip.queue_id}\n"
        f"   log             grep {trip.queue_id} {folder / 'daemon.log'}\n"
        f"   time            {seconds:.1f} s\n"
    )
    click.secho("4. Settings for your mail program on this machine", bold=True)
    click.echo(
        f"   incoming  POP3, {HOST}, port {ports['pop3s']}, SSL/TLS, normal password\n"
        f"   outgoing  SMTP, {HOST}, port {ports['submission']}, STARTTLS, normal password"
        f"  (or port {ports['submissions']}, SSL/TLS)\n"
        f"   accounts  {ALICE}  {passwords[ALICE]}\n"
        f"             {BOB}    {passwords[BOB]}\n"
        f"   trust     {ca}  (the development CA; import it as a certificate authority)\n"
    )
    click.secho("5. Commands to paste into a terminal", bold=True)
    if once:
        click.echo("   Run `emailsys try` without --once: the system keeps running, and the commands are printed here.")
        return
    click.echo(_as_text(lines).rstrip())
    click.echo(f"\nThe same commands are in {folder / 'commands.txt'}, and as JSON in {folder / 'commands.json'}.")
