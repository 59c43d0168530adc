"""Text of a message that is typed on the terminal: read it, and keep it if the message is not sent."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from emailsys.cli.mail.ending_signals import EndedBySignal, ending_signals_raised
from emailsys.cli.mail.safe_output import tell
from emailsys.cli.mail.session import Session
from emailsys.client.base.local_text import local_text

if TYPE_CHECKING:
    from emailsys.client.accounts.values import Account
    from emailsys.client.compose.draft import Draft


def read_text(session: Session, account: Account, draft: Draft) -> str:
    """Read the text of a draft from standard input. If Ctrl-C or a signal ends it, save the lines as a draft."""
    lines: list[bytes] = []
    try:
        if not sys.stdin.isatty():
            return _text_of(sys.stdin.buffer.read())
        tell("Write the message. To end it, press Ctrl-D on an empty line.")
        typed = sys.stdin.buffer
        with ending_signals_raised():
            while line := typed.readline():
                lines.append(line)
    except (KeyboardInterrupt, EndedBySignal):
        if lines:
            # The draft may have the quote of the answered message.
            words = "\n\n".join(filter(None, [_text_of(b"".join(lines)).rstrip(), draft.body.strip()]))
            draft.text, draft.html, draft.markdown = f"{words}\n", None, None
            # After SIGHUP, the terminal is gone, and nothing can be said.
            with suppress(OSError):
                keep_typed(session, account, draft)
        raise
    return _text_of(b"".join(lines))


def _text_of(octets: bytes) -> str:
    return local_text(octets).replace("\r\n", "\n")


def keep_typed(session: Session, account: Account, draft: Draft) -> None:
    """Save a message that was typed on the terminal and could not be sent as a draft, or else print it again."""
    try:
        key = session.mailbox.save_draft(account, draft)
    except Exception as error:
        tell(f"The draft could not be saved: {error}. Your text was:")
        tell(draft.body)
        return
    tell(f"Saved as the draft {key}. To continue: emailsys mail draft edit {key}")
