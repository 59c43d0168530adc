"""Lesson: a From that is not the account's."""

from __future__ import annotations

from typing import Final

from emailsys.lab.base.client import Client, plain
from emailsys.lab.base.lesson import Lesson, prose
from emailsys.lab.base.loopback import HOST
from emailsys.lab.base.stage import ALICE, BOB, MALLORY, PASSWORDS, Stage, letter
from emailsys.lab.base.values import Result, Step
from emailsys.lab.base.view import View
from emailsys.wiretap.conversation import Role

_SUBJECT: Final = "The key of the safe"


def _play(stage: Stage, is_protected: bool) -> Result:
    system = stage.system()
    before = len(stage.maildrop(system, BOB))
    system.may_send_as(MALLORY, ALICE, not is_protected)
    view = View("submission", Role.CLIENT, f"{HOST}:{system.ports['submissions']}")
    with Client(system.ports["submissions"], view, stage.trusting) as client:
        client.reply()
        client.ask("EHLO laptop.example.test")
        client.ask(f"AUTH PLAIN {plain(MALLORY, PASSWORDS[MALLORY])}")
        # The envelope is honest: only the header lies, and the header is what bob sees.
        client.ask(f"MAIL FROM:<{MALLORY}>")
        client.ask(f"RCPT TO:<{BOB}>")
        client.ask("DATA")
        client.send(letter(ALICE, BOB, _SUBJECT, "Please put it under the mat. Alice") + b".\r\n")
        reply = client.reply()
        client.ask("QUIT")
    arrived = [one for one in stage.maildrop(system, BOB)[before:] if f"From: {ALICE}".encode() in one]
    harmed = bool(arrived)
    if harmed:
        text = prose("""The operator allowed mallory to send as alice. The daemon takes the message, and bob's program
            shows alice's name. Only the Return-Path and the trace in the header tell who logged in.""")
        evidence = f"bob's maildrop has a message with From: {ALICE} that mallory sent"
    else:
        text = prose("""Mallory logs in as mallory, so the daemon knows whose addresses may stand in From. It reads the
            header, and refuses the message.""")
        evidence = f"the daemon answered the message by {reply!r}, and bob got nothing"
    return Result([Step("What mallory sends", text, [view.conversation()])], harmed, evidence)


LESSONS: Final = [
    Lesson(
        name="forged-from",
        title="A From that is not the account's",
        order=100,
        minutes=10,
        question="Did bob get a message from alice that alice did not write?",
        without="the operator let mallory send as alice (emailsys user may-send-as)",
        protection="accounts send only from their own addresses, which is the default",
        happens=prose("""Mallory and alice have accounts on the same system. Mallory logs in with the right password,
            and writes alice's address into From."""),
        why=prose("""A message has two senders: that of the envelope (MAIL FROM), for hosts, and that of the header
            (From), for people. Nothing in SMTP compares them, and From is only text in the message."""),
        protects=prose("""At submission the system knows who logged in, and compares From with the addresses of that
            account. For mail from other systems there is no login: there SPF, DKIM and DMARC compare the domain."""),
        real=prose(
            """Everything is real: the daemon, the login, the check, and the permission that switches it off."""
        ),
        rfcs=("RFC 6409 §6.1", "RFC 5322 §3.6.2", "RFC 7489"),
        ask=(
            "When is it right that an account sends from another address?",
            "Why does the check not help against the same From from another system?",
        ),
        play=_play,
    )
]
