"""show, structure, attachments and save on encrypted mail, of which the disk gets no clear text."""

from __future__ import annotations

import json
import os

from emailsys.client.archive.values import Addition, Folder
from tests.unit.cli.mail.mail_case import Case
from tests.unit.client.crypto.keyring_case import GPG, encrypted, keyring

MIXED = (
    b'Content-Type: multipart/mixed; boundary=m; hp="cipher"\r\nSubject: the real subject\r\n\r\n'
    b"--m\r\n\r\nxylophone\r\n--m\r\nContent-Type: text/csv; name=a.csv\r\n\r\n1,2\r\n--m--\r\n"
)


class ProtectedMail(Case):
    if GPG is None:
        skip = "gpg is not installed"

    def setUp(self) -> None:
        """Put an encrypted message into Inbox."""
        super().setUp()
        self.keyring = keyring()
        os.environ["GNUPGHOME"] = str(self.keyring.home)
        self.octets = encrypted(self.keyring.encrypt(MIXED, "alice", "--sign", "--local-user", "bob"))
        self.key = self.mailbox.archive.add(Addition(self.octets, Folder("alice", "Inbox")))

    def test_shown_and_saved_but_never_written(self) -> None:
        """The text is in the output of the verbs, and in no file below the user's folders."""
        shown = self.fine("show", self.key)
        self.assertIn("xylophone", shown)
        self.assertIn("Subject: the real subject", shown)
        self.assertIn("Checked: This message is signed by Bob <bob@b.test>. The signature is right.", shown)
        seen = json.loads(self.fine("show", self.key, "--json"))
        self.assertEqual(
            [(one["encryption"], [sign["state"] for sign in one["signatures"]]) for one in seen["protection"]],
            [("decrypted", ["good"])],
        )
        self.assertIn("1.0.2", self.fine("structure", self.key))
        self.assertIn("a.csv", self.fine("attachments", self.key))
        self.assertEqual(self.run_it("save", self.key, "1.0.2", "--stdout")[1], b"1,2")
        self.assertIn("xylophone", self.fine("show", self.key, "--part", "1.0.1"))
        self.fine("reindex")
        self.assertEqual(self.mailbox.archive.search("xylophone"), [])
        self.assertEqual(self.mailbox.archive.search("subject:real"), [])
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        self.assertGreater(len(files), 4)
        self.assertEqual([path for path in files if b"xylophone" in path.read_bytes()], [])

    def test_without_gpg_it_is_named(self) -> None:
        os.environ["PATH"] = str(self.folder)
        shown = self.fine("show", self.key)
        self.assertIn("is encrypted with OpenPGP, and cannot be read here (gpg is not installed).", shown)

    def test_sent_encrypted_or_not_at_all(self) -> None:
        """A message that cannot be encrypted is not put into the outbox; one that can has no clear text on the disk."""
        status, _, err = self.run_it(
            "send", "nobody@n.test", "-s", "s", "--encrypt", "--from", "alice@a.test", typed=b"zither"
        )
        self.assertNotEqual(status, 0)
        self.assertIn("nobody@n.test (no key)", err)
        self.assertEqual(self.mailbox.outbox.list(), [])
        words = ("bob@b.test", "-s", "zither", "--sign", "--encrypt", "--from", "alice@a.test")
        status, _, err = self.run_it("send", *words, "--later", typed=b"zither")
        self.assertEqual(status, 0, err)
        self.assertIn("The message is signed and encrypted.", err)
        [waiting] = self.mailbox.outbox.list()
        draft = self.fine("send", *words, "--draft", typed=b"zither").split()[0]
        self.assertIn("zither", self.fine("show", draft))
        stopped = self.mailbox.outbox.stop(waiting.key).draft
        self.assertEqual(self.mailbox.open_draft(stopped or "").subject, "zither")
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        self.assertEqual([path for path in files if b"zither" in path.read_bytes()], [])
        for verb in (("-t",), ("--eml", "-")):
            self.assertNotEqual(self.run_it("send", *verb, "--encrypt", typed=b"To: bob@b.test\n\nx")[0], 0)
        self.assertEqual(self.mailbox.outbox.list(), [])
