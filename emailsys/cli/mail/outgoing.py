"""Put a message into the outbox and send it, and say what can still be stopped."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from emailsys.cli.mail.safe_output import print_json, tell
from emailsys.cli.mail.session import Session
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emailsys.client.accounts.values import Account
    from emailsys.client.compose.message_builder import Composed
    from emailsys.client.send.sender import Sent


def sending_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--hold, --later, --notify and --json."""
    for option in (
        click.option(
            "--hold", type=click.FloatRange(0, 86_400), default=0.0, help="Wait so many seconds; Ctrl-C stops."
        ),
        click.option("--later", is_flag=True, help="Leave it in the outbox; `emailsys mail outbox send` sends it."),
        click.option(
            "--notify",
            multiple=True,
            type=click.Choice(["success", "failure", "delay", "never"]),
            help="Ask the servers for delivery notifications.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON, one document."),
    ):
        function = option(function)
    return function


def queue_and_send(
    session: Session,
    account: Account,
    message: Composed,
    *,
    hold: float = 0.0,
    later: bool = False,
    notify: Sequence[str] = (),
    as_json: bool = False,
    queued: Callable[[], None] = lambda: None,
) -> int:
    """Put a message into the outbox, call `queued`, send it, and tell how that ended; the exit status.

    Where the network cannot be had it stays in the outbox.
    """
    from emailsys.client.send.outbox import Notices

    notices = Notices("success" in notify, "failure" in notify, "delay" in notify) if notify else None
    key = session.mailbox.put(account, message, hold, notices)
    queued()
    if later:
        tell(f"{key} waits in the outbox: emailsys mail outbox send; to stop it: emailsys mail outbox stop {key}")
        if as_json:
            print_json({"key": key, "message_id": message.message_id, "waits": True})
        return Exit.OK
    try:
        if hold:
            tell(f"held for {hold:g} seconds; Ctrl-C stops it, or elsewhere: emailsys mail outbox stop {key}")
        sent = _send(session, account, key)
    except KeyboardInterrupt:
        with _sigint_ignored():
            tell(session.mailbox.outbox.stop(key).words)
        return Exit.INTERRUPTED
    if as_json:
        print_json({"message_id": message.message_id, **sent_fields(sent)})
    return tell_sent(sent)


def _send(session: Session, account: Account, key: str) -> Sent:
    from emailsys.cli.mail.progress_bars import ProgressBars
    from emailsys.client.online import MailTransfer

    with ProgressBars() as bars:

        async def work(reactor: Any) -> Sent:
            queue_and_send = MailTransfer(session.mailbox, reactor, bars.ask_secret, sending=bars.sending)
            try:
                return await queue_and_send.send(account, key)
            finally:
                await queue_and_send.close()

        return session.run(work)


@contextmanager
def _sigint_ignored() -> Iterator[None]:
    """A second Ctrl-C must not keep the first one from being carried out."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def sent_fields(sent: Sent) -> dict[str, Any]:
    """How sending ended, as JSON has it."""
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
    }


def tell_sent(sent: Sent) -> int:
    """Say how sending ended; the exit status."""
    if sent.accepted:
        tell(f"sent to {', '.join(sent.accepted)}: the server has taken it, it cannot be stopped any more")
    for refusal in sent.refusals:
        tell(f"{refusal.address} {'refused' if refusal.permanent else 'not taken yet'}: {refusal.reply}")
    if sent.problem is None:
        return Exit.OK
    if sent.problem not in [refusal.reply for refusal in sent.refusals]:
        tell(f"{sent.problem}{'; ' + sent.advice if sent.advice else ''}")
    if sent.in_doubt:
        tell("the server may have taken it before the connection broke: it may arrive twice")
    if sent.waits:
        tell(f"it waits in the outbox as {sent.key}: emailsys mail outbox send")
        return Exit.TEMPORARY
    if sent.refusals:
        tell(f"it stays in the outbox; to mend it as a draft: emailsys mail outbox stop {sent.key}")
    return Exit.UNAVAILABLE
