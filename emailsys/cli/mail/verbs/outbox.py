"""Verbs for the outbox: list, stop, retry and send."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import click

from emailsys.cli.command_group import Verbs
from emailsys.cli.mail.arguments import account_arguments, all_accounts_option, key_argument, message_of
from emailsys.cli.mail.outgoing import sent_fields, tell_sent
from emailsys.cli.mail.safe_output import print_json, print_safe_rows, tell
from emailsys.cli.mail.secret_prompt import ask_secret
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.mail.wire import wire_options
from emailsys.cli.options import Refused, as_json
from emailsys.client.text.terminal import safe_line
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.client.accounts.values import Account
    from emailsys.client.online import MailTransfer
    from emailsys.client.send.outbox import QueuedMessage
    from emailsys.client.send.sender import SendResult

# With --watch: seconds between two rounds, and the most after failures.
_PAUSE: Final = 30.0
_LONGEST_PAUSE: Final = 900.0


@click.group(cls=Verbs, invoke_without_command=True)
@click.pass_context
def outbox(ctx: click.Context) -> None:
    """List, stop and send the messages that wait in the outbox.

    \b
    emailsys mail outbox
    emailsys mail outbox stop KEY
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, account=None, as_json=False)


@outbox.command("list")
@all_accounts_option
@as_json
@pass_session
def list_(session: Session, account: str | None, as_json: bool) -> None:
    """List the messages in the outbox with their states.

    You can stop a message that is held, waiting or refused. You cannot stop one that is sending. "may have arrived"
    means that the connection or the program ended before the server's reply to the whole message.

    \b
    emailsys mail outbox list
    emailsys mail outbox list --json
    """
    from emailsys.client.display.list_text import SHORT_KEY, short_date

    owner = session.mailbox.account(account).name if account is not None else None
    found = session.mailbox.outbox.list(owner)
    if as_json:
        print_json(
            [
                {
                    "key": one.key,
                    "account": one.account,
                    "state": one.state.value,
                    "due": one.due.isoformat(),
                    "scheduled": one.scheduled,
                    "sender": one.sender,
                    "recipients": list(one.recipients),
                    "message_id": one.message_id,
                    "octets": one.octets,
                    "attempts": one.attempts,
                    "last_problem": one.last_problem,
                }
                for one in found
            ]
        )
        return
    now = session.mailbox.now()
    print_safe_rows(
        [
            {
                "key": one.key[:SHORT_KEY],
                "account": one.account,
                "state": one.state.value,
                "due": short_date(one.due, now),
                "to": ", ".join(one.recipients),
                "attempts": one.attempts,
                "last problem": one.last_problem,
            }
            for one in found
        ],
        "The outbox is empty.",
    )


@outbox.command("stop")
@key_argument
@as_json
@pass_session
def stop(session: Session, key: str, as_json: bool) -> int:
    """Stop a message, and move it to Drafts. A message that is being sent or was sent cannot be stopped.

    \b
    emailsys mail outbox stop KEY
    """
    stopped = session.mailbox.outbox.stop(message_of(session, key).key)
    if as_json:
        print_json({"stopped": stopped.stopped, "words": stopped.words, "draft": stopped.draft})
    tell(stopped.words)
    return Exit.OK if stopped.stopped else Exit.FAILED


@outbox.command("retry")
@key_argument
@as_json
@pass_session
def retry(session: Session, key: str, as_json: bool) -> None:
    """Let the next `outbox send` send a message that was refused or held, or that may have arrived.

    \b
    emailsys mail outbox retry KEY && emailsys mail outbox send
    """
    from emailsys.client.base.process_lock import LockTaken

    summary = message_of(session, key)
    try:
        session.mailbox.outbox.retry(summary.key)
    except LockTaken as taken:
        raise Refused(f"{summary.key} is not due: {taken} is sending it now.", Exit.TEMPORARY) from None
    if as_json:
        print_json({"key": summary.key, "account": summary.folder.account, "waits": True})
    tell("The message is due. To send it now: emailsys mail outbox send")


@outbox.command("send")
@account_arguments
@click.option("--again", is_flag=True, help="Send messages again that may have arrived. Default: ask.")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C: send each message when it is due.")
@wire_options
@as_json
@pass_session
def send(session: Session, accounts: tuple[str, ...], again: bool, watch: bool, as_json: bool) -> int:
    """Send all messages that are due, from all accounts or from ACCOUNTS.

    A message that may have arrived is sent again only if you say so. With --watch, a message that a server did not
    accept is tried again after a minute, then after two, and so on up to a quarter of an hour. With --json, each round
    prints a JSON document of its own.

    \b
    emailsys mail outbox send
    emailsys mail outbox send --again
    emailsys mail outbox send --watch
    emailsys mail outbox send work --json
    emailsys mail outbox send --wire-to page.html
    """
    from twisted.internet.defer import Deferred

    from emailsys.client.archive.values import NoSuchMessage
    from emailsys.client.base.gather import gather_or_raise
    from emailsys.client.base.process_lock import LockTaken
    from emailsys.client.online import MailTransfer
    from emailsys.client.send.sender import SendResult

    chosen = [session.mailbox.account(name) for name in accounts] or session.mailbox.accounts()
    if not chosen:
        raise Refused("There is no account yet. Add one: emailsys mail account add you@example.org", Exit.CONFIG)

    doubtful = session.mailbox.outbox.in_doubt([one.name for one in chosen])
    left = [one for one in doubtful if not _again(one, again)]
    for one in doubtful:
        # Another program that is sending it now will tell its outcome, and one that took it out has told it.
        with suppress(LockTaken, NoSuchMessage):
            if one not in left:
                session.mailbox.outbox.retry(one.key)

    def told(results: Sequence[SendResult]) -> int:
        if as_json and results:
            print_json([sent_fields(one) for one in results])
        return max((tell_sent(one) for one in results), default=Exit.OK)

    async def work(reactor: Any) -> Sequence[SendResult]:
        transfer = MailTransfer(session.mailbox, reactor, ask_secret, wiretap=session.wiretap)
        try:
            if watch:
                sending = (_send_for_ever(reactor, transfer, one, told) for one in chosen)
                await gather_or_raise(map(Deferred.fromCoroutine, sending))
            return await transfer.flush(chosen)
        finally:
            await transfer.close()

    if watch:
        _tell_left(left)
        with suppress(KeyboardInterrupt):
            tell("Sending each message when it is due. Press Ctrl-C to stop.")
            session.run(work)
        return Exit.OK
    results = session.run(work)
    if as_json:
        kept = (SendResult(one.key, one.account, problem=one.state.value, waits=True, in_doubt=True) for one in left)
        print_json([sent_fields(one) for one in (*results, *kept)])
    _tell_left(left)
    if not results and not left:
        tell("No message is due.")
    return max([*(tell_sent(one) for one in results), Exit.TEMPORARY if left else Exit.OK])


async def _send_for_ever(
    reactor: Any, transfer: MailTransfer, account: Account, told: Callable[[Sequence[SendResult]], int]
) -> None:
    """Send what is due of one account, again and again, until cancelled. After failures the pauses grow."""
    from twisted.internet.task import deferLater

    pause = _PAUSE
    while True:
        results = await transfer.flush([account])
        told(results)
        pause = min(pause * 2, _LONGEST_PAUSE) if any(one.waits for one in results) else _PAUSE
        await deferLater(reactor, pause)


def _tell_left(left: Sequence[QueuedMessage]) -> None:
    for one in left:
        tell(
            f"Not sent: {one.key} to {', '.join(one.recipients)} may have arrived. To send it again: "
            f"emailsys mail outbox retry {one.key}. To make it a draft: emailsys mail outbox stop {one.key}"
        )


def _again(one: QueuedMessage, again: bool) -> bool:
    """Whether to send a message again that may have arrived."""
    if again or not sys.stdin.isatty():
        return again
    to = safe_line(", ".join(one.recipients))
    return click.confirm(f"{one.key} to {to} may have arrived. Send it again?", default=False, err=True)
