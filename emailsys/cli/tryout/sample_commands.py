"""Sample commands for the running system: telnet, openssl, curl, swaks, emailsys."""

from __future__ import annotations

import base64
import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from emailsys.cli.tryout.round_trip import ALICE, BOB, HOST

#: A recipient on a system that does not exist (RFC 2606).
CAROL: Final = "carol@elsewhere.example"
RSA_SUITE: Final = "ECDHE-RSA-AES256-GCM-SHA384"
ECDSA_SUITE: Final = "ECDHE-ECDSA-AES128-GCM-SHA256"


@dataclass(frozen=True, slots=True)
class Line:
    """A command, the lines to type after it has connected, and a regular expression that its output matches."""

    name: str
    about: str
    command: str
    expect: str
    typed: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return this as a JSON object."""
        return asdict(self)


def _program() -> str:
    """Return this program as a shell command: the installed script, else the module."""
    script = Path(sys.executable).with_name("emailsys")
    if os.access(script, os.X_OK):
        return shlex.quote(str(script))
    return f"{shlex.quote(sys.executable)} -m emailsys"


def ready_made(ports: Mapping[str, int], passwords: Mapping[str, str], ca: Path, message: Path) -> list[Line]:
    """Return the commands in the order in which to try them.

    @param message: the file of a message to send.
    """
    ca_file = shlex.quote(str(ca))
    trust = f"-CAfile {ca_file} -verify_return_error -servername {HOST}"
    client = "openssl s_client -crlf -quiet"
    # -quiet hides the negotiated cipher suite; -brief shows it.
    brief = "openssl s_client -brief -tls1_2"
    plain = base64.b64encode(f"\0{ALICE}\0{passwords[ALICE]}".encode()).decode()
    user = shlex.quote(f"{ALICE}:{passwords[ALICE]}")
    owner = shlex.quote(f"{BOB}:{passwords[BOB]}")
    letter = (
        f"mail from:<{ALICE}>",
        # In lower case, because s_client takes a capital R at the start of a line for "renegotiate" without -quiet.
        f"rcpt to:<{BOB}>",
        "data",
        f"From: {ALICE}",
        f"To: {BOB}",
        "Subject: by hand",
        "",
        "Hello Bob",
        ".",
        "quit",
    )
    # Mail with a sender of this system is accepted only after a login.
    from_outside = tuple(text.replace(ALICE, CAROL) for text in letter)
    outside = tuple(text.replace(BOB, CAROL).replace("Bob", "Carol") for text in letter)
    emailsys = _program()
    state = f"--state {shlex.quote(str(ca.parent.parent))}"
    login = (f"user {BOB}", f"pass {passwords[BOB]}", "stat", "list", "quit")
    return [
        Line(
            "telnet-smtp",
            "receive a message from another system, typed by hand",
            f"telnet 127.0.0.1 {ports['smtp']}",
            r"250 2\.0\.0 .*queued as",
            ("ehlo localhost", *from_outside),
        ),
        Line(
            "telnet-pop3",
            "open bob's maildrop without TLS, which is allowed only on loopback",
            f"telnet 127.0.0.1 {ports['pop3']}",
            r"(?s)\+OK [0-9]+ [0-9]+.*\+OK",
            login,
        ),
        Line(
            "openssl-submission",
            "submit a message with STARTTLS",
            f"{client} -starttls smtp -connect {HOST}:{ports['submission']} {trust}",
            r"250 2\.0\.0 .*queued as",
            ("ehlo localhost", f"auth plain {plain}", *letter),
        ),
        Line(
            "openssl-submissions",
            "submit a message over TLS from the first octet",
            f"{client} -connect {HOST}:{ports['submissions']} {trust}",
            r"250 2\.0\.0 .*queued as",
            ("ehlo localhost", f"auth plain {plain}", *letter),
        ),
        Line(
            "openssl-pop3s",
            "open bob's maildrop over TLS",
            f"{client} -connect {HOST}:{ports['pop3s']} {trust}",
            r"(?s)\+OK [0-9]+ [0-9]+.*\+OK",
            login,
        ),
        Line(
            "openssl-rsa",
            "TLS 1.2 with the RSA certificate",
            f"{brief} -cipher {RSA_SUITE} -connect {HOST}:{ports['pop3s']} {trust} </dev/null",
            rf"Ciphersuite: {RSA_SUITE}",
        ),
        Line(
            "openssl-ecdsa",
            "TLS 1.2 with the ECDSA certificate, on the same port",
            f"{brief} -cipher {ECDSA_SUITE} -connect {HOST}:{ports['pop3s']} {trust} </dev/null",
            rf"Ciphersuite: {ECDSA_SUITE}",
        ),
        Line(
            "curl-send",
            "submit a message with curl",
            f"curl -v --cacert {ca_file} --ssl-reqd --user {user} --mail-from {ALICE} --mail-rcpt {BOB} "
            f"--upload-file {shlex.quote(str(message))} smtp://{HOST}:{ports['submission']}",
            r"250 2\.0\.0 .*queued as",
        ),
        Line(
            "curl-list",
            "list bob's maildrop with curl",
            f"curl --cacert {ca_file} --user {owner} pop3s://{HOST}:{ports['pop3s']}",
            r"(?m)^1 [0-9]+",
        ),
        Line(
            "curl-fetch",
            "fetch bob's first message with curl",
            f"curl --cacert {ca_file} --user {owner} pop3s://{HOST}:{ports['pop3s']}/1",
            r"(?m)^Received: ",
        ),
        Line(
            "swaks",
            "submit a message with swaks",
            f"swaks --server {HOST} --port {ports['submission']} --tls --tls-verify --tls-ca-path {ca_file} "
            f"--auth PLAIN --auth-user {ALICE} --auth-password {shlex.quote(passwords[ALICE])} "
            f"--from {ALICE} --to {BOB}",
            r"250 2\.0\.0 .*queued as",
        ),
        Line(
            "openssl-outside",
            "submit a message for another system; `try` sends nothing out, so it waits in the queue",
            f"{client} -connect {HOST}:{ports['submissions']} {trust}",
            r"250 2\.0\.0 .*queued as",
            ("ehlo localhost", f"auth plain {plain}", *outside),
        ),
        Line(
            "mail-account",
            "add bob's account to the mail client of emailsys",
            f"{emailsys} mail account add {BOB} --pop3 {HOST}:{ports['pop3s']} --pop3-security tls "
            f"--smtp {HOST}:{ports['submission']} --smtp-security starttls "
            f"--ca-file {ca_file} --password-command {shlex.quote(f'echo {shlex.quote(passwords[BOB])}')}",
            rf"(?i)added .*{re.escape(BOB)}",
        ),
        Line(
            "mail-fetch",
            "fetch bob's mail; then `emailsys mail` shows it on a full screen",
            f"{emailsys} mail fetch {BOB}",
            r"[0-9]+ (?:new )?messages?",
        ),
        Line(
            "queue",
            "list the queue, with the reason why mail waits",
            f"{emailsys} queue list {state}",
            re.escape(CAROL),
        ),
        Line(
            "trace",
            "show the history of a message",
            f"{emailsys} trace {state} {CAROL}",
            r"switched off here",
        ),
    ]
