"""Editor session: write a draft in the user's own editor, without losing text in a crash."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emailsys.cli.mail.safe_output import tell
from emailsys.cli.mail.session import Session
from emailsys.cli.options import Refused
from emailsys.client.base.folders import make_folder
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.client.accounts.values import Account
    from emailsys.client.compose.draft import Draft


def write(
    session: Session,
    account: Account,
    draft: Draft,
    *,
    key: str | None = None,
    queued: Callable[[], None] = lambda: None,
    **send_options: Any,
) -> int:
    """Open the editor, then send, save or delete the draft as the user chooses. Return the exit status.

    @param key: the saved draft to continue; None for a new message.
    @param queued: called when the message is in the outbox.
    """
    from emailsys.client.compose.draft import ComposeError
    from emailsys.client.compose.warnings import warnings

    if not sys.stdin.isatty():
        raise Refused(
            "There is no terminal for the editor. Use --body TEXT or --stdin, or write with: emailsys mail send",
            Exit.USAGE,
        )
    sheet = _EditorFile(session.mailbox.folders.state / "editing")
    try:
        again = True
        while True:
            if again:
                edited = sheet.edit(draft)
                if edited is None:
                    continue
                draft = edited
                key = session.mailbox.save_draft(account, draft, key)
                for one in warnings(draft):
                    tell(f"Warning: {one}")
            again = False
            chosen = click.prompt("[s]end, [e]dit, save as [d]raft, or [q]uit and delete?", err=True, default="s")
            match chosen[:1].lower():
                case "s":
                    try:
                        return _send(session, account, draft, key, queued, send_options)
                    except ComposeError as error:
                        tell(str(error))
                case "e":
                    again = True
                case "d":
                    tell(f"Saved as the draft {key}. To continue: emailsys mail draft edit {key}")
                    return Exit.OK
                case "q":
                    if key is not None:
                        session.mailbox.archive.delete([key])
                    tell(f"The draft is in Trash. To restore it: emailsys mail undelete {key}")
                    return Exit.FAILED
    finally:
        sheet.remove()


def _send(
    session: Session,
    account: Account,
    draft: Draft,
    key: str | None,
    queued: Callable[[], None],
    send_options: dict[str, Any],
) -> int:
    from emailsys.cli.mail.outgoing import queue_and_send
    from emailsys.client.compose.message_builder import build

    def in_outbox() -> None:
        if key is not None:
            session.mailbox.delete_sent_draft(key)
        queued()

    return queue_and_send(session, account, build(draft, session.mailbox.now()), queued=in_outbox, **send_options)


class _EditorFile:
    """The file that the editor opens. It keeps the text if the editor or this program crashes."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._path = folder / f"{secrets.token_hex(4)}.txt"

    def edit(self, draft: Draft) -> Draft | None:
        """Run the editor, and return the edited draft. Returns None if it is invalid and the user edits it again.

        @raise Refused: the text is invalid and the user gives up. The file remains.
        """
        from emailsys.client.compose.draft import ComposeError
        from emailsys.client.compose.editor_text import from_text, to_text

        if not self._path.exists():
            self._path.touch(mode=0o600)
            self._path.write_text(to_text(draft), "utf-8")
        click.edit(filename=str(self._path))
        try:
            edited = from_text(self._path.read_text("utf-8", "replace"), draft, Path.cwd())
        except ComposeError as error:
            tell(str(error))
            if click.confirm("Correct it in the editor?", default=True, err=True):
                return None
            kept, self._path = self._path, self._path.with_suffix(".gone")
            raise Refused(f"The message was not sent. Your text is kept in {kept}", Exit.DATA) from None
        self._path.unlink()
        return edited

    def remove(self) -> None:
        """Remove the file. Its text is saved as a draft."""
        self._path.unlink(missing_ok=True)
