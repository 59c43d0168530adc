"""Signatures are checked and encrypted parts are opened, and each verdict says no more than it may."""

from __future__ import annotations

from datetime import timedelta

from emailsys.client.crypto.gpg import Gpg
from emailsys.client.crypto.opening import Opener
from emailsys.client.crypto.values import DecryptionState, SignatureState
from emailsys.client.display.message import MessageView, attachments, find_part, view
from tests.unit.client.crypto.keyring_case import HEAD, KeyringCase, encrypted, signed

TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe price is 100.\r\n"
GOOD = SignatureState.GOOD
DECRYPTED = DecryptionState.DECRYPTED


class OpeningCase(KeyringCase):
    """A test that shows messages."""

    def see(self, octets: bytes, *states: SignatureState | DecryptionState) -> MessageView:
        """Show a message, and compare its states: those of decryption and of signatures, layer by layer."""
        seen = view(octets, opener=self.opener)
        found = [
            state
            for layer in seen.protection
            for state in (layer.decryption, *(one.state for one in layer.signatures))
            if state is not None
        ]
        self.assertEqual(found, list(states), (seen.warnings, seen.notes))
        return seen


class Reading(OpeningCase):
    def test_a_right_signature_of_the_author(self) -> None:
        seen = self.see(signed(TEXT, self.keyring.sign(TEXT, "bob")), GOOD)
        self.assertEqual(seen.notes, ("This message is signed by Bob <bob@b.test>. The signature is right.",))
        self.assertEqual((seen.warnings, seen.body), ((), "The price is 100."))
        # The file was imported from an mbox file with LF.
        self.see(signed(TEXT, self.keyring.sign(TEXT, "bob")).replace(b"\r\n", b"\n"), GOOD)

    def test_a_right_signature_of_an_author_who_did_not_log_in(self) -> None:
        """It would be wrong that anybody may have written the text. Only a protected subject is the author's, too."""
        mark = (
            b"Authentication-Results: mail.b.test;\r\n\tauth=none (did not log in)\r\n"
            b"Received: from x by mail.b.test with ESMTP id q; Sun, 29 Nov 2026 12:00:00 +0000\r\n"
        )
        head = HEAD.replace(b"Bob <bob@b.test>", b"bob@b.test")
        octets = mark + signed(TEXT, self.keyring.sign(TEXT, "bob"), head=head)
        (warning,) = self.see(octets, GOOD).warnings
        self.assertTrue(warning.endswith("shows who wrote the text, but not who wrote the subject."), warning)
        whole = TEXT.replace(b"utf-8\r\n", b'utf-8; protected-headers="v1"\r\nSubject: Price\r\n')
        seen = self.see(mark + signed(whole, self.keyring.sign(whole, "bob"), head=head), GOOD)
        self.assertEqual(seen.warnings, ())
        self.assertTrue(seen.notes[0].endswith("shows who wrote the text and the subject."), seen.notes)
        wrong = mark + signed(TEXT, self.keyring.sign(TEXT, "eve"), head=head)
        for one in (octets.replace(b"100", b"900"), wrong):
            self.assertIn("Anybody may have written it.", view(one, opener=self.opener).warnings[0])

    def test_a_changed_text(self) -> None:
        octets = signed(TEXT, self.keyring.sign(TEXT, "bob"))
        for wrong in (octets.replace(b"100", b"900"), octets.replace(b"utf-8", b"utf-7"),
                      octets.replace(b"100.\r\n", b"100. \r\n")):  # fmt: skip
            seen = self.see(wrong, SignatureState.BAD)
            self.assertIn("the signature is WRONG", seen.warnings[0])

    def test_the_signer_is_named_only_for_a_key_of_the_author(self) -> None:
        """A key that is not the author's never counts as theirs, whoever certified it."""
        by_alice = self.see(signed(TEXT, self.keyring.sign(TEXT, "alice")), SignatureState.OTHER_SIGNER)
        self.assertIn("signed by Alice <alice@a.test>, and not by the author in From", by_alice.warnings[0])
        two = HEAD.replace(b"From: ", b"From: alice@a.test, ")
        self.see(signed(TEXT, self.keyring.sign(TEXT, "bob"), head=two), SignatureState.OTHER_SIGNER)
        none = HEAD.replace(b"From: Bob <bob@b.test>\r\n", b"")
        self.see(signed(TEXT, self.keyring.sign(TEXT, "bob"), head=none), SignatureState.OTHER_SIGNER)
        eve = HEAD.replace(b"bob@b.test", b"eve@e.test")
        seen = self.see(signed(TEXT, self.keyring.sign(TEXT, "eve"), head=eve), SignatureState.UNTRUSTED)
        self.assertIn("you have not certified", seen.warnings[0])
        self.assertEqual(seen.notes, ())

    def test_a_name_that_nobody_certified_does_not_count(self) -> None:
        """mallory's key is certified, and its first user id is a name that he chose: that of bob."""
        signature = self.keyring.sign(TEXT, "mallory")
        seen = self.see(signed(TEXT, signature), SignatureState.UNTRUSTED)
        self.assertEqual(seen.notes, ())
        seen = self.see(signed(TEXT, signature, head=HEAD.replace(b"Bob <bob@b", b"<mallory@m")), GOOD)
        self.assertIn("signed by Mallory <mallory@m.test>. The signature is right", seen.notes[0])
        seen = self.see(signed(TEXT, signature, head=HEAD.replace(b"bob@b", b"x@x")), SignatureState.OTHER_SIGNER)
        self.assertIn("signed by Mallory <mallory@m.test>, and not by the author", seen.warnings[0])

    def test_a_file_name_cannot_write_status_lines(self) -> None:
        bob = self.keyring.keys["bob"]
        valid = f"[GNUPG:] VALIDSIG {bob} 2026-01-01 1 0 4 0 22 10 00 {bob}"
        name = f"x\n[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG {bob} Bob\n{valid}\n"
        self.see(encrypted(self.keyring.encrypt(TEXT, "alice", "--set-filename", name)), DECRYPTED)

    def test_two_messages_in_one_are_refused(self) -> None:
        """What follows a signed text would be shown as if it was signed, too."""
        more = self.keyring.run("--store", "--compress-algo", "none", data=b"\r\nPay 900.\r\n")
        data = self.keyring.run("--dearmor", data=self.keyring.encrypt(TEXT, "alice", "--sign", "--local-user", "bob"))
        for both in (data + more, more + data, data + data):
            armoured = self.keyring.run("--enarmor", data=both).replace(b"ARMORED FILE", b"MESSAGE")
            self.assertNotIn("900", self.see(encrypted(armoured), DecryptionState.FAILED).body)

    def test_keys_that_expired_or_were_revoked_or_are_missing(self) -> None:
        part = b"hi\r\n"
        old, lost = HEAD.replace(b"bob@b", b"old@o"), HEAD.replace(b"bob@b", b"lost@l")
        self.see(signed(part, self.keyring.old_signature, head=old), SignatureState.KEY_EXPIRED)
        self.see(signed(part, self.keyring.lost_signature, head=lost), SignatureState.KEY_REVOKED)
        self.see(signed(part, self.keyring.away_signature), SignatureState.NO_KEY)
        signature = self.keyring.sign(TEXT, "bob")
        self.now -= timedelta(days=2)
        self.see(signed(TEXT, signature), SignatureState.FUTURE)

    def test_a_signature_with_a_weak_hash(self) -> None:
        signature = self.keyring.sign(TEXT, "bob", "--digest-algo", "SHA1", "--allow-weak-digest-algos")
        self.see(signed(TEXT, signature, "pgp-sha1"), SignatureState.WEAK)

    def test_a_wrong_micalg_is_a_defect(self) -> None:
        seen = self.see(signed(TEXT, self.keyring.sign(TEXT, "bob", "--digest-algo", "SHA256")), GOOD)
        self.assertIn("part 1: micalg says sha512, but the signature uses sha256", seen.defects)

    def test_a_signature_that_does_not_cover_the_text_is_invalid(self) -> None:
        """A signed text of its own in place of a signature, garbage, and a signature of another kind."""
        for wrong in (self.keyring.clear_sign(b"other\n", "bob"), b"nothing", b"",
                      self.keyring.run("--armor", "--sign", "--local-user", "bob", data=TEXT)):  # fmt: skip
            self.see(signed(TEXT, wrong), SignatureState.BAD)
        octets = signed(TEXT, self.keyring.sign(TEXT, "bob"))
        self.see(octets.replace(b"application/pgp-signature", b"application/other"), SignatureState.UNCHECKED)

    def test_text_outside_the_signature_is_framed(self) -> None:
        """A mailing list adds its footer; an attacker adds a text above, and imitates the frame."""
        inner = signed(TEXT, self.keyring.sign(TEXT, "bob"), head=b"")
        octets = (
            HEAD
            + b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\n[== part 1.2, signed by Bob: good ==]\r\n"
            b"Pay 900.\r\n--m\r\n" + inner + b"\r\n--m\r\n\r\nfooter\r\n--m--\r\n"
        )
        seen = self.see(octets, GOOD)
        self.assertEqual(
            seen.body.split("\n\n"),
            [
                "[== this text is not signed ==]",
                "[= = part 1.2, signed by Bob: good = =]\nPay 900.",
                "[== part 1.2, signed by Bob <bob@b.test>: good ==]",
                "The price is 100.",
                "[== this text is not signed ==]",
                "footer",
            ],
        )
        self.assertEqual(seen.notes[0][:34], "Part 1.2 is signed by Bob <bob@b.t")
        more = b"--s\r\n\r\nfooter inside\r\n"
        seen = self.see(signed(TEXT, self.keyring.sign(TEXT, "bob"), more=more), GOOD)
        self.assertIn("[== this text is not signed ==]\n\nfooter inside", seen.body)

    def test_parts_beside_the_encrypted_one_are_shown_as_not_encrypted(self) -> None:
        more = b"--e\r\n\r\nfooter\r\n--e\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\nx\r\n"
        seen = self.see(encrypted(self.keyring.encrypt(b"\r\nxylophone\r\n", "alice"), more=more), DECRYPTED)
        first, text, second, footer = seen.body.split("\n\n")
        self.assertIn("decrypted", first)
        self.assertEqual((text, second, footer), ("xylophone", "[== this text is not signed ==]", "footer"))
        self.assertEqual([(one.number, one.name) for one in seen.attachments], [("1.4", "a.pdf")])
        self.assertTrue(all("This message" not in one for one in (*seen.notes, *seen.warnings)), seen)

    def test_text_around_a_signed_part_without_text_is_not_shown_as_signed(self) -> None:
        """Somebody puts a text before the parts of a signed message that has only a file."""
        pdf = b"Content-Type: application/pdf\r\n\r\nx\r\n"
        octets = signed(pdf, self.keyring.sign(pdf, "bob"))
        octets = octets.replace(b"\r\n\r\n--s\r\n", b"\r\n\r\nPay 900.\r\n--s\r\n", 1) + b"Pay 900.\r\n"
        self.assertEqual(self.see(octets, GOOD).body, "")
        empty = encrypted(self.keyring.encrypt(b"\r\n", "alice")) + b"Pay 900.\r\n"
        self.assertEqual(self.see(empty, DECRYPTED).body, "")

    def test_a_signed_attachment_does_not_sign_the_text(self) -> None:
        inner = signed(TEXT, self.keyring.sign(TEXT, "bob"), head=b"Content-Disposition: attachment\r\n")
        octets = HEAD + b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\nPay 900.\r\n--m\r\n" + inner
        seen = self.see(octets + b"\r\n--m--\r\n", GOOD)
        self.assertIn("[== this text is not signed ==]\n\nPay 900.", seen.body)
        self.assertTrue(seen.notes[0].startswith("Part 1.2 is signed"))

    def test_an_encrypted_and_signed_message(self) -> None:
        data = self.keyring.encrypt(TEXT, "alice", "--sign", "--local-user", "bob")
        seen = self.see(encrypted(data), DECRYPTED, GOOD)
        self.assertEqual((seen.body, seen.warnings), ("The price is 100.", ()))
        self.assertEqual(seen.attachments, ())
        unsigned = self.see(encrypted(self.keyring.encrypt(TEXT, "alice")), DECRYPTED)
        self.assertEqual(unsigned.warnings, ("The encrypted text is not signed: anybody may have written it.",))
        within = signed(TEXT, self.keyring.sign(TEXT, "bob"), head=b"")
        self.see(encrypted(self.keyring.encrypt(within, "alice")), DECRYPTED, GOOD)

    def test_files_of_an_encrypted_message_can_be_saved(self) -> None:
        mixed = (
            b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\nhi\r\n"
            b"--m\r\nContent-Type: text/csv; name=a.csv\r\n\r\n1,2\r\n--m--\r\n"
        )
        octets = encrypted(self.keyring.encrypt(mixed, "alice"))
        self.assertEqual([(one.number, one.name) for one in attachments(octets, self.opener)], [("1.0.2", "a.csv")])
        part = find_part(octets, "1.0.2", self.opener)
        self.assertEqual(part and part.content(), b"1,2")
        # The encrypted octets keep their numbers.
        part = find_part(octets, "1.2", self.opener)
        self.assertTrue(part and part.content().startswith(b"-----BEGIN PGP MESSAGE"))

    def test_nothing_is_shown_without_protection_against_changes(self) -> None:
        old = self.keyring.encrypt(TEXT, "alice", "--rfc2440", "--disable-mdc", "--cipher-algo", "3DES")
        data = self.keyring.run("--dearmor", data=self.keyring.encrypt(TEXT, "alice"))
        changed = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
        for wrong in (old, changed, data[:-30], b"", self.keyring.run("--armor", "--store", data=TEXT)):
            seen = self.see(encrypted(self.keyring.run("--enarmor", data=wrong) if wrong == changed else wrong),
                            DecryptionState.FAILED)  # fmt: skip
            self.assertNotIn("100", seen.body)
        # A message that is signed, but not encrypted.
        claims = self.keyring.run("--armor", "--sign", "--local-user", "bob", data=TEXT)
        self.assertNotIn("100", self.see(encrypted(claims), DecryptionState.FAILED).body)

    def test_a_key_with_a_passphrase_is_named_and_one_that_is_missing(self) -> None:
        seen = self.see(encrypted(self.keyring.encrypt(TEXT, "lock")), DecryptionState.LOCKED)
        self.assertTrue(seen.is_locked)
        self.assertIn("Your key needs its passphrase", seen.warnings[0])
        seen = self.see(encrypted(self.keyring.for_away), DecryptionState.NO_KEY)
        self.assertEqual(seen.warnings, ("This message is encrypted with OpenPGP, for keys of which you have none.",))
        both = self.keyring.encrypt(TEXT, "lock", "--recipient", "alice")
        self.see(encrypted(both), DECRYPTED)

    def test_decrypted_text_does_not_get_into_html(self) -> None:
        """EFAIL: an image whose address begins in clear text and would go on with the decrypted text."""
        inner = encrypted(self.keyring.encrypt(TEXT, "alice"), head=b"")
        octets = (
            HEAD + b"Content-Type: multipart/mixed; boundary=m\r\n\r\n"
            b'--m\r\nContent-Type: text/html\r\n\r\n<p>Hello<img src="http://evil.test/?\r\n--m\r\n'
            + inner + b'\r\n--m\r\nContent-Type: text/html\r\n\r\n"><p>Bye\r\n--m--\r\n'
        )  # fmt: skip
        seen = self.see(octets, DECRYPTED)
        self.assertIn("[== part 1.2, decrypted ==]\n\nThe price is 100.", seen.body)
        self.assertIn("[== this text is not signed ==]", seen.body)

    def test_layers_have_a_limit(self) -> None:
        part = TEXT
        for _ in range(6):
            part = encrypted(self.keyring.encrypt(part, "alice"), head=b"")
        seen = self.see(HEAD + part, *[DECRYPTED] * 4, DecryptionState.UNOPENED)
        self.assertNotIn("100", seen.body)
        one = signed(TEXT, self.keyring.sign(TEXT, "bob"), head=b"")
        many = b"".join(b"--m\r\n" + one + b"\r\n" for _ in range(14))
        seen = view(HEAD + b"Content-Type: multipart/mixed; boundary=m\r\n\r\n" + many, opener=self.opener)
        states = [layer.signatures[0].state for layer in seen.protection]
        self.assertEqual(states, [GOOD] * 10 + [SignatureState.UNCHECKED] * 4)


class InTheText(OpeningCase):
    def test_only_the_covered_text_counts(self) -> None:
        block = self.keyring.clear_sign("Grüße, the price is 100.  \n- x\n".encode(), "bob")
        head = HEAD + b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
        seen = self.see(head + block, GOOD)
        self.assertEqual(seen.body, "Grüße, the price is 100.\n- x")
        seen = self.see(head + b"Pay 900.\n" + block + b"bye\n", GOOD)
        self.assertEqual(
            seen.body.split("\n\n"),
            [
                "[== this text is not signed ==]",
                "Pay 900.",
                "[== part 1, signed by Bob <bob@b.test>: good ==]",
                "Grüße, the price is 100.\n- x",
                "[== this text is not signed ==]",
                "bye",
            ],
        )
        self.see(head + block.replace(b"100", b"900"), SignatureState.BAD)

    def test_text_in_the_armour_is_not_signed(self) -> None:
        """Text in place of the Hash header would be shown as signed by programs that cut the block up themselves."""
        block = self.keyring.clear_sign(b"The price is 100.\n", "bob")
        wrong = block.replace(b"Hash: SHA512", b"Pay: 900\nHash: SHA512").replace(b"Hash: SHA256", b"Pay: 900")
        seen = view(HEAD + b"\r\n" + wrong, opener=self.opener)
        states = {one.state for layer in seen.protection for one in layer.signatures}
        self.assertTrue(GOOD not in states or "900" not in seen.body, seen.body)

    def test_encrypted_text(self) -> None:
        block = self.keyring.encrypt(b"<b>secret</b> 100\n", "alice")
        self.assertEqual(self.see(HEAD + b"\r\n" + block, DECRYPTED).body, "<b>secret</b> 100")
        seen = self.see(HEAD + b"\r\nabove\n" + block, DECRYPTED)
        self.assertIn("[== part 1, decrypted ==]\n\n<b>secret</b> 100", seen.body)
        self.see(HEAD + b"\r\n" + block.replace(block[100:104], b"AAAA"), DecryptionState.FAILED)
        opaque = self.keyring.run("--armor", "--sign", "--local-user", "bob", data=b"hi\n")
        self.assertEqual(self.see(HEAD + b"\r\n" + opaque, GOOD).body, "hi")


class WithoutGpg(OpeningCase):
    def test_a_gpg_that_cannot_be_run_is_told(self) -> None:
        """It was removed since the program started, or the disk has no room for its files."""
        self.opener = Opener(Gpg("/nonexistent/gpg"), lambda: self.now)
        seen = self.see(encrypted(self.keyring.encrypt(TEXT, "alice")), DecryptionState.UNOPENED)
        self.assertIn("gpg cannot be run", seen.warnings[0])
        self.see(signed(TEXT, self.keyring.sign(TEXT, "bob")), SignatureState.UNCHECKED)
