"""A message that the daemon sends to another host by way of a man in the middle."""

from __future__ import annotations

from dataclasses import dataclass

from emailsys.lab.attackers.middle import Change, ManInTheMiddle, leave_alone
from emailsys.lab.base.stage import ALICE, DAVE, ELSEWHERE, Stage, letter, until
from emailsys.lab.base.view import View
from emailsys.lab.hosts.mail_host import MailHost
from emailsys.mail.next_hop import TLSPolicy
from emailsys.pki import IssuedFiles


@dataclass(frozen=True, slots=True)
class Interception:
    """The result of an interception. `reply` is the queue's if the delivery failed, else the text of the message."""

    host: MailHost
    attacker: ManInTheMiddle
    view: View
    reply: str
    harmed: bool


def intercept(
    stage: Stage,
    policy: TLSPolicy,
    subject: str,
    text: str,
    is_protected: bool,
    change: Change = leave_alone,
    certificate: IssuedFiles | None = None,
) -> Interception:
    """Sends a message from alice to dave, past the attacker, and waits until the connection has ended.

    @param policy: of the route to dave's host. @param is_protected: whether the delivery must fail.
    @param change: what the attacker does to lines. @param certificate: with which the attacker ends TLS.
    @raise LessonFailed: the message, or the refusal, does not come.
    """
    host = stage.open(MailHost(stage.pki.good))
    attacker = stage.open(ManInTheMiddle(host.port, "smtp", change, certificate))
    system = stage.system()
    system.set_route(ELSEWHERE, attacker.port, policy)
    stage.submit(system, ALICE, [DAVE], letter(ALICE, DAVE, subject, text))
    reply = stage.refusal(system) if is_protected else host.await_message()
    view = attacker.views[0]
    until("the end of the connection", lambda: view.is_closed)
    return Interception(host, attacker, view, reply, attacker.saw(text.encode()))
