"""Sending from the command line: put a message into the outbox, send it, and report the outcome."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from emailsys.cli.mail.safe_output import print_json, tell
from emailsys.cli.mail.session import Session
from emailsys.cli.mail.wire import wire_options
from emailsys.client.compose.moments import EXAMPLES, BadMoment, parse_moment
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emailsys.client.accounts.values import Account
    from emailsys.client.compose.message_builder import OutgoingMessage
    from emailsys.client.send.outbox import Notices
    from emailsys.client.send.sender import SendResult


class _Moment(click.ParamType[datetime]):
    """A time in the future, in the time zone of this machine."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse a text."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_moment(value, datetime.now().astimezone())
        except BadMoment as error:
            self.fail(str(error), param, ctx)


MOMENT: Final = _Moment()


def sending_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb --hold, --at, --later, --notify, --wire, --wire-to and --json."""
    for option in (
        click.option(
            "--hold",
            type=click.FloatRange(0, 86_400),
            default=0.0,
            metavar="SECONDS",
            help="Wait before sending. Ctrl-C stops the message.",
        ),
        click.option(
            "--at",
            type=MOMENT,
            metavar="WHEN",
            help=f"Leave it in the outbox, and send it at a time: {EXAMPLES}. "
            "`emailsys mail outbox send --watch` or the open full screen sends it then.",
        ),
        click.option(
            "--later", is_flag=True, help="Put the message into the outbox. `emailsys mail outbox send` sends it."
        ),
        click.option(
            "--notify",
            multiple=True,
            type=click.Choice(["success", "failure", "delay", "never"]),
            help="Request delivery status notifications (RFC 3461). Repeatable.",
        ),
        wire_options,
        click.option("--json", "as_json", is_flag=True, help="Print JSON, one document."),
    ):
        function = option(function)
    return function


def notices_of(notify: Sequence[str], whole_message: bool = False) -> Notices | None:
    """Return the delivery status notifications that --notify requests."""
    from emailsys.client.send.outbox import Notices

    kinds = ("success" in notify, "failure" in notify, "delay" in notify)
    return Notices(*kinds, whole_message) if notify else None


def queue_and_send(
    session: Session,
    account: Account,
    message: OutgoingMessage,
    *,
    hold: float = 0.0,
    at: datetime | None = None,
    later: bool = False,
    notify: Sequence[str] = (),
    whole_message: bool = False,
    as_json: bool = False,
    queued: Callable[[], None] = lambda: None,
) -> int:
    """Put a message into the outbox, send it, report the outcome, and return the exit status.

    If the network is down, the message stays in the outbox.

    @param hold: seconds to wait before sending.
    @param at: when to send it; it waits in the outbox until then.
    @param later: do not send now.
    @param notify: the delivery status notifications to request.
    @param whole_message: whether these return the whole message.
    @param queued: called when the message is in the outbox.
    """
    key = session.mailbox.put(account, message, hold, notices_of(notify, whole_message), at)
    queued()
    if at is not None:
        tell(
            f"{key} waits in the outbox until {at:%Y-%m-%d %H:%M}. It is then sent by the open full screen, or by: "
            f"emailsys mail outbox send --watch. To stop it: emailsys mail outbox stop {key}"
        )
        if as_json:
            print_json({"key": key, "message_id": message.message_id, "waits": True, "due": at.isoformat()})
        return Exit.OK
    if later:
        tell(
            f"{key} waits in the outbox. To send it: emailsys mail outbox send. "
            f"To stop it: emailsys mail outbox stop {key}"
        )
        if as_json:
            print_json({"key": key, "message_id": message.message_id, "waits": True})
        return Exit.OK
    try:
        if hold:
            tell(
                f"The message is on hold for {hold:g} {'second' if hold == 1 else 'seconds'}. To stop it, "
                f"press Ctrl-C, or run in another terminal: emailsys mail outbox stop {key}"
            )
        sent = _send(session, account, key)
    except KeyboardInterrupt:
        with _sigint_ignored():
            tell(session.mailbox.outbox.stop(key).words)
        return Exit.INTERRUPTED
    if as_json:
        print_json({"message_id": message.message_id, **sent_fields(sent)})
    return tell_sent(sent)


def _send(session: Session, account: Account, key: str) -> SendResult:
    from emailsys.cli.mail.progress_bars import ProgressBars
    from emailsys.client.online import MailTransfer

    with ProgressBars(not session.shows_wire) as bars:

        async def work(reactor: Any) -> SendResult:
            queue_and_send = MailTransfer(
                session.mailbox, reactor, bars.ask_secret, sending=bars.sending, wiretap=session.wiretap
            )
            try:
                return await queue_and_send.send(account, key)
            finally:
                await queue_and_send.close()

        return session.run(work)


@contextmanager
def _sigint_ignored() -> Iterator[None]:
    """Ignore SIGINT, so that a second Ctrl-C cannot interrupt the work of the first one."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def sent_fields(sent: SendResult) -> dict[str, Any]:
    """Return the JSON fields of a delivery outcome."""
    return {
        "key": sent.key,
        "account": sent.account,
        "accepted": list(sent.accepted),
        "refused": [{"address": one.address, "reply": one.reply, "permanent": one.permanent} for one in sent.refusals],
        "problem": sent.problem,
        "advice": sent.advice,
        "waits": sent.waits,
        "in_doubt": sent.in_doubt,
        "reply": sent.reply,
        "by_another": sent.by_another,
    }


def tell_sent(sent: SendResult) -> int:
    """Print the outcome of a delivery attempt, and return the exit status."""
    from emailsys.client.display.problem_text import problem_text

    if sent.by_another:
        tell(f"Another program has sent the message {sent.key}.")
    if sent.accepted:
        tell(f"Sent to {', '.join(sent.accepted)}. The server has accepted the message; it can no longer be stopped.")
    for refusal in sent.refusals:
        verdict = "refused" if refusal.permanent else "not accepted yet"
        tell(f"{refusal.address}: {verdict} by the server: {refusal.reply}")
    if sent.problem is None:
        return Exit.OK
    if sent.problem not in [refusal.reply for refusal in sent.refusals]:
        tell(problem_text(sent.problem, sent.advice))
    if sent.in_doubt:
        tell(
            "The connection broke before the server's reply, so the message may have arrived. It stays in the outbox "
            f"as {sent.key}. `emailsys mail outbox send` asks before it sends it again. "
            f"To take it out: emailsys mail outbox stop {sent.key}"
        )
        return Exit.TEMPORARY
    if sent.waits:
        tell(f"The message waits in the outbox as {sent.key}. To try again: emailsys mail outbox send")
        return Exit.TEMPORARY
    if sent.refusals:
        tell(f"The message stays in the outbox. To turn it into a draft: emailsys mail outbox stop {sent.key}")
    return Exit.UNAVAILABLE
