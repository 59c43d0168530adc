"""Lesson: a next hop that drops the connection at the final dot."""

from __future__ import annotations

import re
from typing import Final

from emailsys.lab.attackers.clients import pour
from emailsys.lab.base.lesson import Lesson, prose
from emailsys.lab.base.stage import ALICE, DAVE, ELSEWHERE, Stage, letter
from emailsys.lab.base.values import LessonFailed, Result, Step
from emailsys.lab.hosts.next_hops import LosesReply
from emailsys.mail.next_hop import TLSPolicy

# Seconds: longer than the daemon's retry in the lab.
_WAIT: Final = 10.0
_FURTHER: Final = "further.test"
_MESSAGE_ID: Final = re.compile(rb"(?im)^Message-ID: (\S+)")


def _play(stage: Stage, is_protected: bool) -> Result:
    return _with_queue(stage) if is_protected else _without_queue(stage)


def _without_queue(stage: Stage) -> Result:
    host = stage.open(LosesReply(stores_first=False))
    mail = letter(ALICE, DAVE, "The contract", "Signed.").rstrip(b"\r\n")
    poured = pour(host.port, ALICE, DAVE, mail, "careless.example.test")
    text = prose("""This sender has no queue. It sent the dot, got no answer, and takes that for success. The next hop
        had not stored anything yet.""")
    evidence = (
        f"after the dot the sender got {poured.final or 'no reply'}, and the next hop has {len(host.stored)} messages"
    )
    return Result([Step("What the sender sees", text, [poured.view.conversation()])], not host.stored, evidence)


def _with_queue(stage: Stage) -> Result:
    before, after = stage.open(LosesReply(stores_first=False)), stage.open(LosesReply(stores_first=True))
    system = stage.system()
    system.set_route(ELSEWHERE, before.port, TLSPolicy.OPPORTUNISTIC)
    system.set_route(_FURTHER, after.port, TLSPolicy.OPPORTUNISTIC)
    stage.submit(system, ALICE, [DAVE], letter(ALICE, DAVE, "The contract", "Signed."))
    further = f"erin@{_FURTHER}"
    stage.submit(system, ALICE, [further], letter(ALICE, further, "The contract", "Signed."))
    if not before.wait_for(1, _WAIT) or not after.wait_for(2, _WAIT):
        raise LessonFailed("the daemon did not send again")
    ids = {found[1] for one in after.stored if (found := _MESSAGE_ID.search(one.octets))}
    one = prose("""No reply is no yes: the daemon keeps the message in its queue and sends it again. It arrives at the
        second attempt.""")
    two = prose(f"""The price: this host had stored the message before the connection broke. The daemon can't know
        that. The host has {len(after.stored)} copies now, with {len(ids)} Message-ID; a program that compares it shows
        one.""")
    steps = [
        Step("A host that had not stored the message", one, [view.conversation() for view in before.views]),
        Step("A host that had stored it", two, [view.conversation() for view in after.views]),
    ]
    evidence = f"the first host has {len(before.stored)} message, the second has {len(after.stored)} copies of one"
    return Result(steps, not before.stored or not after.stored, evidence)


LESSONS: Final = [
    Lesson(
        name="lost-reply",
        title="A lost reply at the final dot",
        order=80,
        minutes=15,
        question="Was the message lost?",
        without="a careless sender of the lab, which takes silence for success",
        protection="the daemon's queue: a message is done only after 250",
        happens=prose("""The sender transmits a message and the final dot. Then the connection breaks, before the
            reply. Did the next hop store the message or not?"""),
        why=prose("""The sender can't know. Both ends can't agree over a line that may break at any moment, however
            many confirmations they send: the problem of the two generals. The sender can only choose the error: lose
            some mail, or send some mail twice."""),
        protects=prose("""SMTP chooses twice: responsibility passes with the 250, and without one the sender keeps the
            message and tries again. The receiver should answer quickly after the dot (RFC 1047), and store before it
            answers. Two copies have the same Message-ID."""),
        real=prose("""The daemon and its queue are real, with retries after 1 second. The next hops are small programs
            of the lab, which close the connection at the dot."""),
        rfcs=("RFC 5321 §6.1", "RFC 1047", "RFC 5321 §4.5.3.2.6"),
        ask=(
            "Why does a third confirmation not solve the problem?",
            "Why may a sender wait ten minutes for the reply to the dot?",
            "Which other protocols choose at least once, and which at most once?",
        ),
        play=_play,
    )
]
