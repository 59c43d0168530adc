"""What an account says of signing and encrypting holds for all that it sends, finished messages and answers too."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from emailsys.cli.mail.smtp_dialogue import SMTPDialogue, submitted
from emailsys.client.accounts.values import Encrypt
from emailsys.client.archive.values import Addition, Flag, Folder
from emailsys.config.exit_status import Exit
from emailsys.mail.message.mime import parse
from tests.unit.cli.mail.mail_case import Case
from tests.unit.client.compose.test_invitation_reply import invitation
from tests.unit.client.crypto.keyring_case import GPG, keyring

CLEAR = b"From: alice@example.org\nSubject: clear\n\nzither\n"
SEALED = (
    b"From: alice@example.org\nContent-Type: multipart/encrypted; boundary=b\n\n--b\n\n--b--\n",
    b"From: alice@example.org\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\n\nAAAA\n",
    b"From: alice@example.org\n\n-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----\n",
)


class AlwaysEncrypted(Case):
    def protect(self, **settings: Any) -> None:
        """Change the settings of alice."""
        account = self.mailbox.account("alice")
        self.mailbox.accounts_file.put(replace(account, **settings))

    def waiting(self) -> list[bytes]:
        return [self.mailbox.archive.octets(one.key) for one in self.mailbox.outbox.list()]

    def test_a_finished_message_in_clear_is_refused_and_an_encrypted_one_is_sent(self) -> None:
        self.protect(encrypt=Encrypt.ALWAYS)
        for words in (("sendmail", "d@example.org"), ("send", "-t", "--to", "d@example.org")):
            status, _, err = self.run_it(*words, "--later", typed=CLEAR)
            self.assertNotEqual(status, Exit.OK)
            self.assertIn("is not encrypted", err)
            self.assertIn("--no-encrypt", err)
            self.assertEqual(self.waiting(), [])
        for octets in SEALED:
            self.assertEqual(self.run_it("sendmail", "d@example.org", "--later", typed=octets)[0], Exit.OK)
        self.assertEqual(len(self.waiting()), 3)
        for words in (("sendmail", "d@example.org"), ("send", "-t", "--to", "d@example.org")):
            self.assertEqual(self.run_it(*words, "--later", "--no-encrypt", typed=CLEAR)[0], Exit.OK)
        self.assertEqual(len(self.waiting()), 5)

    def test_signed_data_of_smime_is_not_taken_for_encrypted(self) -> None:
        self.protect(encrypt=Encrypt.ALWAYS)
        for kind in (b"application/pkcs7-mime; smime-type=signed-data", b"multipart/signed; boundary=b", b"text/plain"):
            octets = b"From: alice@example.org\nContent-Type: %s\n\nAAAA\n" % kind
            self.assertNotEqual(self.run_it("sendmail", "d@example.org", "--later", typed=octets)[0], Exit.OK, kind)

    def test_smtp_on_standard_input_refuses_it_too(self) -> None:
        self.protect(encrypt=Encrypt.ALWAYS)
        dialogue = b"HELO x\nMAIL FROM:<alice@example.org>\nRCPT TO:<d@example.org>\nDATA\nSubject: s\n\nt\n.\nQUIT\n"
        for in_clear, code, count in ((False, "554 5.6.0", 0), (True, "250", 1)):
            pieces = iter([dialogue])
            replies: list[bytes] = []

            async def read(pieces: Any = pieces) -> bytes:
                return next(pieces, b"")

            async def submit(owner: Any, message: Any) -> Any:
                return await submitted(self.session, None, owner, message, ())

            with self.assertRaises(StopIteration):
                SMTPDialogue(self.session, None, submit, read, replies.append, in_clear).run().send(None)
            self.assertIn(code, b"".join(replies).decode().splitlines()[-2])
            self.assertEqual(len(self.waiting()), count)

    def test_an_answer_to_an_invitation_is_never_clear(self) -> None:
        self.protect(encrypt=Encrypt.ALWAYS)
        key = self.mailbox.archive.add(Addition(invitation(), Folder("alice", "Inbox")))
        status, _, err = self.run_it("invite", key, "accept", "--yes", "--later")
        self.assertNotEqual(status, Exit.OK)
        self.assertRegex(err, r"olga@example.net \(no key\)|gpg is not installed|key of your own")
        self.assertEqual(self.waiting(), [])
        self.assertFalse(self.mailbox.archive.get(key).flags & Flag.ANSWERED)
        self.fine("invite", key, "accept", "--yes", "--later", "--no-encrypt")
        self.assertEqual(len(self.waiting()), 1)

    def test_a_message_that_unsubscribes_is_never_clear(self) -> None:
        self.protect(encrypt=Encrypt.ALWAYS)
        octets = b"From: l@lists.example\r\nList-Unsubscribe: <mailto:leave@lists.example>\r\n\r\nhi\r\n"
        key = self.mailbox.archive.add(Addition(octets, Folder("alice", "Inbox")))
        self.assertNotEqual(self.run_it("unsubscribe", key, "--yes")[0], Exit.OK)
        self.assertEqual(self.waiting(), [])

    def test_an_answer_to_an_invitation_is_signed_and_still_an_answer(self) -> None:
        ring = keyring()
        os.environ["GNUPGHOME"] = str(ring.home)
        self.protect(sign=True, openpgp_key=self.mailbox.gpg.secret_keys()[0].fingerprint)  # type: ignore[union-attr]
        key = self.mailbox.archive.add(Addition(invitation(), Folder("alice", "Inbox")))
        self.fine("invite", key, "accept", "--yes", "--later")
        (octets,) = self.waiting()
        kinds = [part.content_type for part in parse(octets).walk()]
        self.assertEqual(kinds[0], "multipart/signed")
        self.assertIn("text/calendar", kinds)

    if GPG is None:
        test_an_answer_to_an_invitation_is_signed_and_still_an_answer.skip = "gpg is not installed"  # type: ignore[attr-defined]
