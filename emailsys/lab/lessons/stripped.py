"""Lesson: a man in the middle removes the offer of STARTTLS."""

from __future__ import annotations

from typing import Final

from emailsys.lab.attackers.interception import intercept
from emailsys.lab.attackers.middle import Tampered
from emailsys.lab.base.lesson import Lesson
from emailsys.lab.base.stage import Stage
from emailsys.lab.base.values import Result, Step
from emailsys.mail.next_hop import TLSPolicy

_TEXT: Final = "The exam begins with question 7."
_OFFER: Final = b"STARTTLS"
_MASK: Final = b"XXXXXXXX"


def strip(from_client: bool, line: bytes) -> Tampered | None:
    """Overwrites the offer of STARTTLS in the reply to EHLO, as some firewalls did."""
    if not from_client and line[:3] == b"250" and line[4:].strip() == _OFFER:
        return Tampered(line.replace(_OFFER, _MASK), "changed")
    return None


def _play(stage: Stage, is_protected: bool) -> Result:
    policy = TLSPolicy.REQUIRED if is_protected else TLSPolicy.OPPORTUNISTIC
    found = intercept(stage, policy, "Tomorrow", _TEXT, is_protected, change=strip)
    attacker, view = found.attacker, found.view
    if found.harmed:
        text = (
            "The daemon asks for extensions by EHLO. The attacker overwrites the one word STARTTLS on its way back. "
            "The daemon sees a host without TLS, and sends the message in the clear."
        )
        evidence = f"the attacker read {view.line_with(_TEXT.encode())!r} among {attacker.total} octets"
    else:
        text = (
            "The attacker overwrites the same word. This route requires TLS, so the daemon leaves before it names a "
            "sender. The message waits in the queue, and the postmaster can see why."
        )
        evidence = f"{attacker.total} octets passed the attacker, none of the message; the queue says: {found.reply}"
    return Result([Step("What the man in the middle sees", text, [view.conversation()])], found.harmed, evidence)


LESSONS: Final = [
    Lesson(
        name="starttls-stripped",
        title="STARTTLS stripped by a man in the middle",
        order=10,
        minutes=15,
        question="Could the attacker read the message?",
        without="the route says tls = opportunistic: TLS if the host offers it",
        protection="the route says tls = required: no TLS, no mail",
        happens=(
            "Two mail hosts begin in the clear and agree on TLS by the word STARTTLS. An attacker between them can "
            "change what is still in the clear, and so prevent the agreement."
        ),
        why=(
            "The offer itself is not protected. A host whose offer was removed looks exactly like a host that has no "
            "TLS, and mail to hosts without TLS is normal."
        ),
        protects=(
            "The sender has to know beforehand that the host has TLS, from a source that the attacker does not "
            "control: a route with tls = required or verified, MTA-STS (RFC 8461) or DANE (RFC 7672). Implicit TLS on "
            "a port of its own (465, 995) has no offer to remove (RFC 8314)."
        ),
        real=(
            "The daemon, its queue and its routes are the real ones, and the attacker changes real octets. The next "
            "hop is a small server of the lab. On the Internet the attacker would stand on a router, or lie in the DNS."
        ),
        rfcs=("RFC 3207 §6", "RFC 8314 §3", "RFC 8461", "RFC 7672"),
        ask=(
            "Why can the daemon not notice that a word was changed?",
            "Who loses if every route in the world says required today?",
            "Would tls = required still help if the attacker did more work? See the lessons about certificates.",
        ),
        play=_play,
    )
]
