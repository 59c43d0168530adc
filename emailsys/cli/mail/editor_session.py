"""Write a draft in the person's own editor; the text outlives a crash of either program."""

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
    """Let the person write, then do what is chosen; the exit status.

    @param key: of the draft in Drafts that this goes on with.
    @param queued: called when the message is in the outbox.
    """
    from emailsys.client.compose.draft import ComposeError
    from emailsys.client.compose.warnings import warnings

    if not sys.stdin.isatty():
        raise Refused("there is no terminal for an editor; use: emailsys mail send, or --body TEXT", Exit.USAGE)
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
                    tell(f"warning: {one}")
            again = False
            chosen = click.prompt("[s]end, [e]dit, keep as a [d]raft, or [q]uit without it?", err=True, default="s")
            match chosen[:1].lower():
                case "s":
                    try:
                        return _send(session, account, draft, key, queued, send_options)
                    except ComposeError as error:
                        tell(str(error))
                case "e":
                    again = True
                case "d":
                    tell(f"kept as the draft {key}")
                    return Exit.OK
                case "q":
                    if key is not None:
                        session.mailbox.archive.delete([key])
                    tell("it is in Trash")
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
    """The file that the editor has open; if anything crashes, what was written is in it."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._path = folder / f"{secrets.token_hex(4)}.txt"

    def edit(self, draft: Draft) -> Draft | None:
        """The draft as it was left; None where it could not be understood and the person wants to mend it."""
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
            if click.confirm("Mend it in the editor?", default=True, err=True):
                return None
            kept, self._path = self._path, self._path.with_suffix(".gone")
            raise Refused(f"what you wrote is kept in {kept}", Exit.DATA) from None
        self._path.unlink()
        return edited

    def remove(self) -> None:
        """Remove the file; what was in it is a draft now."""
        self._path.unlink(missing_ok=True)
