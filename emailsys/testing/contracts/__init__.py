"""Contract tests, which a package runs against its own mailboxes, `IMaildrop` and `IIntake`.

A test case inherits one of them, and a TestCase of twisted.trial::

    class FolderTests(MailboxContract, TestCase):
        async def put(self, bodies): ...
        def make_realm(self): ...
"""

from __future__ import annotations

from emailsys.testing.contracts.intake import IntakeContract
from emailsys.testing.contracts.mailbox import MailboxContract
from emailsys.testing.contracts.maildrop import MaildropContract

__all__ = ["IntakeContract", "MailboxContract", "MaildropContract"]
