"""Lesson: a password in clear on the wire, and the same login over TLS."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from emailsys.config.settings import Settings
from emailsys.lab.attackers.middle import ManInTheMiddle
from emailsys.lab.base.client import Client
from emailsys.lab.base.lesson import Lesson, prose
from emailsys.lab.base.stage import BOB, PASSWORDS, Stage, until
from emailsys.lab.base.values import LessonFailed, Result, Step


def allows_clear(settings: Settings) -> Settings:
    """Lets clients log in without TLS."""
    return replace(settings, pop3=replace(settings.pop3, plaintext_auth_on_loopback=True))


def _play(stage: Stage, is_protected: bool) -> Result:
    system = stage.system() if is_protected else stage.system(allows_clear)
    eavesdropper = stage.open(ManInTheMiddle(system.ports["pop3"], "pop3"))
    with Client(eavesdropper.port) as client:
        client.status()
        refused = client.status(f"USER {BOB}")
        if is_protected:
            if not refused.startswith("-ERR"):
                raise LessonFailed(f"the daemon answered USER without TLS by {refused!r}")
            client.status("STLS")
            client.start_tls(stage.trusting)
            client.status(f"USER {BOB}")
        reply = client.status(f"PASS {PASSWORDS[BOB]}")
        if not reply.startswith("+OK"):
            raise LessonFailed(f"bob cannot log in: {reply!r}")
        client.status("STAT")
        client.status("QUIT")
    view = eavesdropper.views[0]
    until("the end of the connection", lambda: view.is_closed)
    password = PASSWORDS[BOB].encode()
    harmed = eavesdropper.saw(password)
    if harmed:
        text = prose("""Bob's program fetches mail from a server that takes passwords without TLS. The attacker only
            listens, and changes nothing. Neither bob nor the server can notice.""")
        evidence = f"the line {view.line_with(password)!r} passed the attacker"
    else:
        text = prose("""The server refuses USER in the clear, so the password is never sent that way. The program asks
            for TLS by STLS. The attacker still sees when, from where and how much, but no longer what.""")
        evidence = f"{eavesdropper.total} octets passed the attacker, and the password is in none of them"
    return Result([Step("What the eavesdropper sees", text, [view.conversation()])], harmed, evidence)


LESSONS: Final = [
    Lesson(
        name="password-in-clear",
        title="A password in clear on the wire, and the same over TLS",
        order=30,
        minutes=10,
        question="Could the attacker read the password?",
        without="the server takes passwords without TLS (plaintext_auth_on_loopback = true)",
        protection="the server takes passwords only inside TLS, which is the default",
        happens=prose("""POP3 is from 1988, and PASS sends the password as it is. Everybody on the way can read it: in
            the same WLAN, at the provider, on each router."""),
        why=prose("""TCP carries octets as they are. A password that is sent once in the clear is known from then on:
            the attacker can log in days later, from anywhere."""),
        protects=prose("""TLS before the login, by STLS or by implicit TLS. The server must refuse passwords before it:
            a client that tries in the clear has already given the password away. Base64, as in AUTH PLAIN, is no
            encryption."""),
        real=prose("""The daemon, its setting and the login are real. The eavesdropper relays the octets instead of
            copying them from a cable, because reading a network interface needs root. With `tcpdump -i lo` as root you
            see the same octets."""),
        rfcs=("RFC 2595 §2.3", "RFC 8314 §3", "RFC 1939 §7"),
        ask=(
            "The client sends PASS although the server would refuse it without TLS. Is the password safe?",
            "What does the size of the encrypted records tell the attacker?",
        ),
        play=_play,
    )
]
