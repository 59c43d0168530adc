"""Picture of the mail client's full screen with sample mail."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from emailsys.client.archive.values import Addition, Flag, Folder
from emailsys.client.compose.draft import Attachment, Draft
from emailsys.client.compose.message_builder import build
from emailsys.client.mailbox import MailboxPaths, UserMailbox
from emailsys.client.screen.app import MailApp
from emailsys.client.screen.picture import picture
from emailsys.mail.address import parse
from emailsys.mail.message.mailboxes import Mailbox
from tests.unit.client.screen.screen_case import FakeNetwork, account

NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
ALICE = Mailbox("Alice Adams", parse("alice@example.org"))
TEXT = """Hi Alice,

the night of the move went well: 41 machines, no mail lost, and the queue
was empty at six. The figures are attached.

> Do we keep the old smart host for another week?

Yes, until Friday. Then it goes.

Bob
"""
# Hours ago, sender, subject, flags, tags, attachments.
MAIL = (
    (0.4, "Bob Brown", "The move: how it went", Flag.NONE, (), (("figures.pdf", b"%PDF-1.4" + b" " * 48_000),)),
    (1.2, "Carol Clark", "Lunch on Thursday?", Flag.NONE, (), ()),
    (2.0, "Build", "All 1,204 tests passed", Flag.SEEN, ("ci",), ()),
    (3.7, "Dora Díaz", "Re: Presupuesto 2026", Flag.SEEN | Flag.ANSWERED, (), ()),
    (26.0, "Erik Ek", "Möte på måndag", Flag.SEEN | Flag.FLAGGED, ("work",), ()),
    (49.0, "Library", "Two books are due", Flag.SEEN, (), ()),
    (75.0, "Carol Clark", "Pictures from the lake", Flag.SEEN, (), (("lake.jpg", b"\xff\xd8\xff" + b"0" * 1_900_000),)),
    (120.0, "Mailing list", "[smtp] RFC 5321bis, last call", Flag.SEEN, ("lists",), ()),
)


def fill(mailbox: UserMailbox) -> None:
    """Add two accounts and sample mail."""
    for name in ("alice", "work"):
        mailbox.accounts_file.put(account(name))
        mailbox.archive.add_account(name)
    mailbox.archive.add_folder(Folder("alice", "Projects"))
    for hours, name, subject, flags, tags, files in MAIL:
        sender = Mailbox(name, parse(f"{name.split()[0].lower().encode('ascii', 'ignore').decode()}@example.org"))
        attachments = [Attachment(one, octets, "application/pdf") for one, octets in files]
        draft = Draft(sender, [ALICE], subject=subject, text=TEXT, attachments=attachments)
        octets = build(draft, NOW - timedelta(hours=hours)).octets
        mailbox.archive.add(Addition(octets, Folder("alice", "Inbox"), flags=flags, tags=tags))
    mailbox.save_draft(mailbox.account("alice"), Draft(ALICE, subject="Half a thought", text="..."))


async def _screen(mailbox: UserMailbox, theme: str) -> str:
    """Return the picture with the first message open."""
    app = MailApp(mailbox, lambda _: FakeNetwork(mailbox), theme)
    async with app.run_test(size=(104, 32)) as pilot:
        main = app.screen_stack[-1]
        while not main.query_one("#messages").row_count:  # type: ignore[attr-defined]
            await pilot.pause(0.05)
        await pilot.press("enter")
        while main.query_one("#reader").key is None:  # type: ignore[attr-defined]
            await pilot.pause(0.05)
        await pilot.pause(0.3)
        return picture(app)


def draw() -> str:
    """Return the picture in the dark theme."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mailbox = UserMailbox(MailboxPaths(folder / "mail.toml", folder / "mail", folder / "state"), lambda: NOW)
        fill(mailbox)
        try:
            return asyncio.run(_screen(mailbox, "dark"))
        finally:
            mailbox.close()
