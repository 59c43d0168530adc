"""Verbs for drafts: list, edit and send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from emailsys.cli.command_group import Verbs
from emailsys.cli.mail.arguments import account_option, key_argument, message_of
from emailsys.cli.mail.outgoing import sending_options
from emailsys.cli.mail.safe_output import tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused, as_json
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.client.archive.values import Summary


@click.group(cls=Verbs)
def draft() -> None:
    """List, edit and send drafts. To write a new one, use `emailsys mail compose` or `emailsys mail send --draft`.

    \b
    emailsys mail draft list
    emailsys mail draft edit KEY
    """


@draft.command("list")
@account_option
@as_json
@pass_session
@click.pass_context
def list_(ctx: click.Context, session: Session, account: str | None, as_json: bool) -> None:
    """List the drafts.

    \b
    emailsys mail draft list
    """
    from emailsys.cli.mail.verbs.lists import list_ as list_folder

    ctx.invoke(
        list_folder, folder="Drafts", account=account, unread=False, limit=1000, only_keys=False, as_json=as_json
    )


@draft.command("edit")
@key_argument
@sending_options
@pass_session
def edit(session: Session, key: str, **send_options: Any) -> int:
    """Continue a draft in your editor.

    \b
    emailsys mail draft edit KEY
    """
    from emailsys.cli.mail.editor_session import write

    summary = _draft_of(session, key)
    account = session.mailbox.account_for(summary)
    return write(session, account, session.mailbox.open_draft(summary.key, ask=True), key=summary.key, **send_options)


@draft.command("send")
@key_argument
@sending_options
@pass_session
def send(session: Session, key: str, **send_options: Any) -> int:
    """Send a draft unchanged.

    \b
    emailsys mail draft send KEY
    """
    from emailsys.cli.mail.verbs.composition import send_draft

    summary = _draft_of(session, key)
    account = session.mailbox.account_for(summary)

    def queued() -> None:
        if problem := session.mailbox.delete_sent_draft(summary.key):
            tell(problem)

    draft = session.mailbox.open_draft(summary.key, ask=True)
    return send_draft(session, account, draft, key=summary.key, queued=queued, **send_options)


def _draft_of(session: Session, key: str) -> Summary:
    summary = message_of(session, key)
    if not session.mailbox.is_draft(summary):
        raise Refused(
            f"{summary.key} is in {summary.folder.name}, not in Drafts. To list drafts: emailsys mail draft list",
            Exit.DATA,
        )
    return summary
