"""Lesson: a next hop that greylists, a spammer that never comes back, and our retries."""

from __future__ import annotations

from typing import Final

from emailsys.lab.attackers.clients import pour
from emailsys.lab.base.lesson import Lesson, prose
from emailsys.lab.base.stage import ALICE, DAVE, ELSEWHERE, Stage, letter, until
from emailsys.lab.base.values import Result, Step
from emailsys.lab.hosts.mail_host import MailHost
from emailsys.lab.hosts.next_hops import Greylisting
from emailsys.mail.next_hop import TLSPolicy

_SPAMMER: Final = "winner@lottery.test"


def _play(stage: Stage, is_protected: bool) -> Result:
    host = stage.open(Greylisting() if is_protected else MailHost())
    system = stage.system()
    system.set_route(ELSEWHERE, host.port, TLSPolicy.OPPORTUNISTIC)
    stage.submit(system, ALICE, [DAVE], letter(ALICE, DAVE, "Minutes", "The minutes of the meeting."))
    spam = letter(_SPAMMER, DAVE, "You have won", "Send us your bank details.").rstrip(b"\r\n")
    poured = pour(host.port, _SPAMMER, DAVE, spam, "dialup-66.lottery.test")
    until("the delivery of alice's mail", lambda: any(one.sender == ALICE for one in host.stored))
    harmed = any(one.sender == _SPAMMER for one in host.stored)
    until("the end of our connection", lambda: all(one.is_closed for one in host.views))
    ours = [one.conversation() for one in host.views if one.saw(ALICE.encode())]
    waited = ours[-1].opened - ours[0].opened
    if is_protected:
        text = prose(f"""Our daemon gets the same 451, keeps the mail in its queue, and comes back. It needed
            {len(ours)} attempts and {waited:.1f} s; with the default settings it would be 5 minutes.""")
        evidence = f"the spammer got {poured.final!r} and did not come back; alice's mail came at attempt {len(ours)}"
    else:
        text = "Our daemon delivers at the first attempt, as every sender does."
        evidence = f"{host.name} stored a message from {_SPAMMER}"
    steps = [
        Step("What the spammer sees", _SEEN, [poured.view.conversation()]),
        Step("What the next hop sees of our daemon", text, ours),
    ]
    return Result(steps, harmed, evidence)


_SEEN: Final = prose("""The spammer has a million addresses and no queue: each address gets one attempt.""")

LESSONS: Final = [
    Lesson(
        name="greylisting",
        title="A next hop that greylists, and our retries",
        order=70,
        minutes=10,
        question="Did the spam arrive?",
        without="the next hop takes mail from every sender at once",
        protection="the next hop greylists: 451 at the first attempt of each sender and recipient",
        happens=prose("""A host refuses the first attempt of an unknown sender with 451, which means: try again later.
            A mail system does, a cheap spam program does not."""),
        why=prose("""SMTP has two kinds of refusal: 4yz for now and 5yz for good. A sender that keeps to the standard
            needs a queue, and that costs what the spammer wants to save."""),
        protects=prose("""Greylisting uses that difference. Its price is a delay of the first message of each sender,
            and it fails against spammers that retry. Our queue makes sure that it costs us no mail: a 451 is an
            appointment, not a failure."""),
        real=prose("""The daemon and its queue are real, with one change: it retries after 1 second instead of 5
            minutes. The greylisting host and the spammer are small programs of the lab."""),
        rfcs=("RFC 6647", "RFC 5321 §4.2.1", "RFC 5321 §4.5.4.1"),
        ask=(
            "What would happen if our daemon took 451 for a failure?",
            "Why does greylisting look at sender and recipient, and not only at the address of the host?",
        ),
        play=_play,
    )
]
