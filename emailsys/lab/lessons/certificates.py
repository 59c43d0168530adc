"""Lessons: a man in the middle with a certificate for another name, an expired one, and an untrusted one."""

from __future__ import annotations

from functools import partial
from typing import Final

from emailsys.lab.attackers.interception import intercept
from emailsys.lab.base.lesson import Lesson
from emailsys.lab.base.stage import Stage
from emailsys.lab.base.values import Result, Step
from emailsys.mail.next_hop import TLSPolicy

_TEXT: Final = "The code of the safe is 4711."


def _play(variant: str, stage: Stage, is_protected: bool) -> Result:
    policy = TLSPolicy.VERIFIED if is_protected else TLSPolicy.REQUIRED
    found = intercept(stage, policy, "Safe", _TEXT, is_protected, certificate=stage.pki.variant(variant))
    attacker, view = found.attacker, found.view
    if found.harmed:
        text = (
            "The attacker answers STARTTLS with another certificate, and makes a second TLS connection to the real "
            "host. Both connections are encrypted, and the attacker reads everything in between. The real host stores "
            f"the message as coming over TLS: {found.host.stored[0].over_tls}."
        )
        evidence = f"the attacker read {view.line_with(_TEXT.encode())!r} inside TLS"
    else:
        text = (
            "The daemon looks at the certificate before it sends the first command inside TLS, refuses it, and closes "
            "the connection. The message waits in the queue."
        )
        evidence = f"the attacker read {attacker.total} octets, none of the message; the queue says: {found.reply}"
    return Result([Step("What the man in the middle sees", text, [view.conversation()])], found.harmed, evidence)


def _lesson(variant: str, name: str, title: str, order: int, happens: str, why: str, ask: tuple[str, ...]) -> Lesson:
    return Lesson(
        name=name,
        title=title,
        order=order,
        minutes=10,
        question="Could the attacker read the message inside TLS?",
        without="the route says tls = required: TLS with any certificate",
        protection="the route says tls = verified: the certificate must prove the name of the host",
        happens=happens,
        why=why,
        protects=(
            "The certificate has to be checked in full: signed by a trusted authority, for the name that was dialled, "
            "valid today. tls = verified does this; MTA-STS and DANE tell which hosts can pass."
        ),
        real=(
            "The certificate is made for this run and has exactly this fault. The daemon's check is the real one. The "
            "authority that the daemon trusts is the lab's own, and the next hop is a small server of the lab."
        ),
        rfcs=("RFC 5280 §6", "RFC 9525", "RFC 7435"),
        ask=ask,
        play=partial(_play, variant),
    )


LESSONS: Final = [
    _lesson(
        "wrong-name",
        "certificate-wrong-name",
        "A certificate for another name",
        20,
        "The attacker has a valid certificate, signed by a trusted authority, for another host.",
        (
            "Everybody can get a certificate for a domain that they own. If the name is not compared, a certificate "
            "for any host in the world opens the mail of all others."
        ),
        ("Which name must be compared: that of the domain, or that of its MX host?", "Who signs the MX record?"),
    ),
    _lesson(
        "expired",
        "certificate-expired",
        "An expired certificate",
        21,
        "The attacker found an old key of the real host, with its certificate, which has expired.",
        (
            "The name and the signature are right. Keys leak over the years, through backups and sold disks; the date "
            "is what makes an old leak worthless."
        ),
        ("Why do certificates live ever shorter?", "What is the difference between expiry and revocation?"),
    ),
    _lesson(
        "untrusted",
        "certificate-untrusted",
        "A certificate of an authority that nobody trusts",
        22,
        "The attacker founds a private authority, and signs a certificate with the right name and date.",
        (
            "A signature proves only who signed. Anybody can make an authority in a second, and write any name into a "
            "certificate."
        ),
        ("How does the daemon know whom to trust?", "Why do many mail hosts still have such certificates?"),
    ),
]
