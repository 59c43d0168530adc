"""Lesson: an open relay."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from emailsys.config.settings import Settings
from emailsys.lab.attackers.clients import pour
from emailsys.lab.base.lesson import Lesson, prose
from emailsys.lab.base.stage import DAVE, ELSEWHERE, Stage, letter
from emailsys.lab.base.values import Result, Step
from emailsys.lab.hosts.mail_host import MailHost
from emailsys.mail.next_hop import TLSPolicy

_SPAMMER: Final = "winner@lottery.test"


def trusts_all(settings: Settings) -> Settings:
    """Trusts the network that the attacker is in."""
    return replace(settings, routing=replace(settings.routing, trusted_networks=("127.0.0.0/8",)))


def _play(stage: Stage, is_protected: bool) -> Result:
    host = stage.open(MailHost())
    system = stage.system() if is_protected else stage.system(trusts_all)
    system.set_route(ELSEWHERE, host.port, TLSPolicy.OPPORTUNISTIC)
    spam = letter(_SPAMMER, DAVE, "You have won", "Send us your bank details.").rstrip(b"\r\n")
    poured = pour(system.ports["smtp"], _SPAMMER, DAVE, spam, "dialup-66.lottery.test")
    steps = [Step("What the spammer sees", _SEEN, [poured.view.conversation()])]
    if is_protected:
        harmed = host.wait_for(1, 0.0)
        evidence = f"the daemon answered RCPT by {poured.final!r}; {len(host.stored)} messages reached {ELSEWHERE}"
    else:
        host.await_message()
        harmed = any(one.sender == _SPAMMER for one in host.stored)
        text = prose("""The victim's host sees a connection from the relay, not from the spammer. Complaints and block
            lists hit the owner of the relay.""")
        steps.append(Step("What the victim's host sees", text, [host.views[0].conversation()]))
        evidence = f"{host.name} stored a message from {host.stored[0].sender} that our daemon sent"
    return Result(steps, harmed, evidence)


_SEEN: Final = prose("""The spammer does not log in. Neither the sender nor the recipient belongs to this system.""")

LESSONS: Final = [
    Lesson(
        name="open-relay",
        title="An open relay",
        order=60,
        minutes=10,
        question="Did our daemon send a stranger's mail to a stranger?",
        without="routing.trusted_networks has the network that the spammer is in",
        protection="no trusted networks: mail to other systems needs a login",
        happens=prose("""A spammer looks for hosts that pass on mail from anybody to anybody. Such a host sends the
            spam in its own name."""),
        why=prose("""SMTP was made for a network in which every host helped to pass on mail. Nothing in the protocol
            says for whom a host may send: that is a rule of its own. One careless line in the configuration opens
            it."""),
        protects=prose("""Mail to other systems only after a login (RFC 6409), or from a short list of networks. A
            firewall or a proxy that hides the addresses of clients makes a trusted network dangerous."""),
        real=prose("""The daemon and its setting are real. The spammer and the victim's host are small programs of the
            lab on this machine, so the trusted network is 127.0.0.0/8."""),
        rfcs=("RFC 5321 §3.6", "RFC 6409 §4.3", "RFC 2505"),
        ask=(
            "Which reply stops the spammer, and at which command? Why not earlier?",
            "A container platform shows all clients with the address of its proxy. What happens?",
        ),
        play=_play,
    )
]
