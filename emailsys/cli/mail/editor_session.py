"""Editor session: write a draft in the user's own editor, without ever losing its text."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emailsys.cli.mail.editor_process import EditorFailed, run_editor
from emailsys.cli.mail.ending_signals import EndedBySignal, ending_signals_raised
from emailsys.cli.mail.safe_output import tell
from emailsys.cli.mail.session import Session
from emailsys.cli.options import Refused
from emailsys.client.base.edited_file import EditedFile
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
    if not sys.stdin.isatty():
        raise Refused(
            "There is no terminal for the editor. Use --body TEXT or --stdin, or write with: emailsys mail send",
            Exit.USAGE,
        )
    editing = EditorSession(session, account, draft, key)
    try:
        return editing.run(queued, send_options)
    except BaseException:
        # After SIGHUP, the terminal is gone: nothing can be said, and all is kept.
        with suppress(OSError):
            editing.rescue()
        raise


class EditorSession:
    """A draft that is being edited. Its text is in a file until a draft or the outbox has it on disk."""

    def __init__(self, session: Session, account: Account, draft: Draft, key: str | None) -> None:
        self._session = session
        self._account = account
        self._draft = draft
        self._key = key
        self._file = EditedFile(session.mailbox.paths.state)
        self._path = self._file.path
        # The text as the editor got it; None while no file exists.
        self._given: str | None = None
        # Whether the draft on disk is what the user wrote.
        self._is_saved = key is not None
        # Whether a signal ended the editor, which may have saved text beside the file.
        self._was_ended = False

    def run(self, queued: Callable[[], None], send_options: dict[str, Any]) -> int:
        """Edit until the user decides. Return the exit status."""
        from emailsys.client.compose.draft import ComposeError
        from emailsys.client.compose.warnings import not_attached, warnings

        for one in not_attached(self._draft):
            tell(f"Warning: {one}")
        again = True
        while True:
            # A message that is being sent is in the outbox, whatever signal comes.
            with ending_signals_raised():
                if again:
                    if not self._edit():
                        continue
                    for one in warnings(self._draft):
                        tell(f"Warning: {one}")
                again = False
                chosen = click.prompt("[s]end, [e]dit, save as [d]raft, or [q]uit and delete?", err=True, default="s")
            match chosen[:1].lower():
                case "s":
                    try:
                        return self._send(queued, send_options)
                    except ComposeError as error:
                        tell(str(error))
                case "e":
                    again = True
                case "d":
                    self._tell_draft()
                    return Exit.OK
                case "q":
                    self._discard()
                    return Exit.FAILED

    def _edit(self) -> bool:
        """Run the editor, and save the draft. Return False if the text is invalid and the user edits it again.

        @raise Refused: the editor failed, or the text is invalid and the user gives up.
        """
        from emailsys.client.compose.draft import ComposeError
        from emailsys.client.compose.editor_text import from_text, to_text

        if self._given is None:
            self._given = to_text(self._draft)
            self._file.write(self._given)
        try:
            run_editor(self._path)
        except EditorFailed as error:
            raise Refused(f"The editor failed: {error}. The message was not sent.", Exit.FAILED) from None
        except EndedBySignal:
            self._was_ended = True
            raise
        if not self._path.exists():
            raise Refused("The editor removed the file. The message was not sent.", Exit.FAILED)
        try:
            self._draft = from_text(
                self._file.read(), self._draft, Path.cwd(), expand=self._session.mailbox.contacts.expand
            )
        except ComposeError as error:
            tell(str(error))
            if click.confirm("Correct it in the editor?", default=True, err=True):
                return False
            raise Refused("The message was not sent.", Exit.DATA) from None
        self._save()
        return True

    def _save(self) -> None:
        self._is_saved = False
        self._key = self._session.mailbox.save_draft(self._account, self._draft, self._key)
        self._is_saved = True
        if not self._was_ended:
            self._file.remove()
        self._given = None

    def _send(self, queued: Callable[[], None], send_options: dict[str, Any]) -> int:
        from emailsys.cli.mail.outgoing import queue_and_send
        from emailsys.cli.mail.protected_sending import build_asking

        mailbox = self._session.mailbox

        def in_outbox() -> None:
            if self._key is not None:
                if problem := mailbox.delete_sent_draft(self._key):
                    tell(problem)
                self._key = None
            queued()

        message = build_asking(mailbox, self._account, self._draft)
        return queue_and_send(self._session, self._account, message, queued=in_outbox, **send_options)

    def _discard(self) -> None:
        from emailsys.client.archive.values import TRASH, NoSuchMessage

        archive = self._session.mailbox.archive
        try:
            draft = archive.get(self._key or "")
        except NoSuchMessage:
            tell("Another program has removed the draft already.")
            return
        # Deleting what lies in Trash would remove it for good.
        if draft.folder.name != TRASH:
            archive.delete([draft])
        tell(f"The draft is in Trash. To restore it: emailsys mail undelete {self._key}")

    def _tell_draft(self) -> None:
        tell(f"Saved as the draft {self._key}. To continue: emailsys mail draft edit {self._key}")

    def rescue(self) -> None:
        """Save what was typed as a draft, or else keep the file. Tell the user where it is.

        The file of an editor that a signal ended stays in any case: it may still save its text.
        """
        from emailsys.client.compose.editor_text import from_text

        if self._given is None or not self._path.exists():
            if self._key is not None and self._is_saved:
                self._tell_draft()
            return
        if self._was_ended:
            tell(f"The editor was ended. What it has saved is in {self._path}, or beside it.")
        try:
            text = self._file.read()
            if text == self._given:
                # Nothing was saved since the draft was opened or saved.
                if not self._was_ended:
                    self._file.remove()
                return
            self._draft = from_text(text, self._draft, Path.cwd(), lenient=True)
            self._save()
        except Exception as error:
            tell(f"The draft could not be saved: {error}. Your text is kept in {self._path}")
            return
        self._tell_draft()
