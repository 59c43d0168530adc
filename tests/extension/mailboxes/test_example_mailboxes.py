"""The contract tests of emailsys for these mailboxes: python -m twisted.trial test_example_mailboxes."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from example_mailboxes import Folders
from twisted.trial.unittest import TestCase

from emailsys.extension import CheckContext
from emailsys.testing.contracts import MailboxContract


class FolderTests(MailboxContract, TestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.numbers = count()

    async def put(self, bodies: Sequence[bytes]) -> None:
        folder = self.root / "alice@example.test" / "new"
        folder.mkdir(parents=True, exist_ok=True)
        for body in bodies:
            # Other programs write the line ends of Unix.
            (folder / f"{next(self.numbers):06}.test").write_bytes(body.replace(b"\r\n", b"\n"))

    def make_realm(self) -> Folders:
        return Folders(CheckContext("folders", str(self.root), "mx.example.test", None))
