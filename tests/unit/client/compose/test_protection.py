"""Signed and encrypted messages: what is sent, what is refused, and that nothing gets out in clear."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from emailsys.client.accounts.file import AccountsFile
from emailsys.client.accounts.values import Account, AccountError, Encrypt
from emailsys.client.compose.answer import forward, reply
from emailsys.client.compose.draft import Attachment, ComposeError, Draft, PassphraseNeeded
from emailsys.client.compose.draft_files import draft_octets
from emailsys.client.compose.editor_text import from_text, to_text
from emailsys.client.compose.protection import NotCertified, build, plan, seal
from emailsys.client.compose.reopened_draft import draft_of
from emailsys.client.crypto.gpg import Gpg
from emailsys.client.crypto.values import SignatureState
from emailsys.client.display.message import view
from emailsys.mail.address import parse as parse_address
from emailsys.mail.message.mailboxes import Mailbox, parse_mailboxes
from emailsys.mail.message.mime import parse
from tests.unit.client.crypto.keyring_case import HEAD, KeyringCase, encrypted, signed

ALICE = Mailbox("Alice", parse_address("alice@a.test"))


class Sending(KeyringCase):
    def setUp(self) -> None:
        super().setUp()
        self.gpg = self.keyring.gpg
        self.draft = Draft(
            ALICE, parse_mailboxes("Bob <bob@b.test>"), subject="Größe", text="xylophone ü\n-- \nAlice\n"
        )

    def build(self, draft: Draft, gpg: Gpg | None = None, own: str = "") -> bytes:
        return build(draft, self.now, gpg or self.gpg, own).octets

    def test_a_signed_message(self) -> None:
        """Blanks at line ends, long lines, lines with From, a message in 8 bits: the signature is right."""
        self.draft.text = "From here \nxylophone \n" + "x " * 800
        eight_bit = "Subject: ü\r\n\r\nü\r\n".encode()
        self.draft.attachments = [
            Attachment("a.eml", eight_bit, "message/rfc822"),
            Attachment("b.txt", b"b ", "text/plain"),
        ]
        self.draft.sign = True
        octets = self.build(self.draft)
        self.assertTrue(octets.isascii())
        # Any server may remove blanks at line ends.
        seen = view(b"\r\n".join(line.rstrip(b" \t") for line in octets.split(b"\r\n")), opener=self.opener)
        self.assertEqual([one.state for layer in seen.protection for one in layer.signatures], [SignatureState.GOOD])
        self.assertEqual(seen.defects, ())
        self.assertIn(("Subject", "Größe"), seen.headers)
        payload = parse(octets).parts[0]
        self.assertEqual((payload.parameters["hp"], payload.decoded_of("subject")), ("clear", "Größe"))

    def test_an_encrypted_message_hides_its_subject_and_bcc_recipients(self) -> None:
        draft = replace(self.draft, sign=True, encrypt=Encrypt.ALWAYS, bcc=parse_mailboxes("eve@e.test"))
        draft.accepted_keys = frozenset({self.keyring.keys["eve"]})
        message = build(draft, self.now, self.gpg)
        self.assertEqual([str(one) for one in message.recipients], ["bob@b.test", "eve@e.test"])
        for hidden in (b"xylophone", "Größe".encode(), b"Gr", b"eve", b"Bcc"):
            self.assertNotIn(hidden, message.octets.replace(b"=_", b"").split(b"-----BEGIN PGP")[0])
        root = parse(message.octets)
        self.assertEqual(root.text_of("subject"), "[...]")
        packets = self.keyring.run("--list-packets", data=root.parts[1].decoded()[0]).decode()
        self.assertEqual(packets.count(":pubkey enc packet"), 3)
        self.assertEqual(packets.count("keyid 0000000000000000"), 1)
        seen = view(message.octets, opener=self.opener)
        self.assertEqual((seen.warnings, seen.body[:11]), ((), "xylophone ü"))
        self.assertIn(("Subject", "Größe"), seen.headers)
        payload = self.opener.open(parse(message.octets)).payload
        assert payload is not None
        self.assertEqual(payload.parameters["hp"], "cipher")
        self.assertIn("Subject: [...]", [one.text for one in payload.fields if one.name == "HP-Outer"])

    def test_what_cannot_be_encrypted_is_not_sent(self) -> None:
        for address, state in (
            ("nobody@n.test", "no key"),
            ("lost@l.test", "key revoked"),
            ("old@o.test", "key expired"),
        ):
            draft = replace(self.draft, encrypt=Encrypt.ALWAYS, cc=parse_mailboxes(address))
            refused = self.assertRaises(ComposeError, self.build, draft)
            self.assertIn(f"{address} ({state})", str(refused))
            self.assertIn(f"{address}: {state}", plan(draft, self.gpg).words)
            # In a hidden copy, too.
            self.assertRaises(ComposeError, self.build, replace(draft, cc=[], bcc=draft.cc))
        eve = replace(self.draft, encrypt=Encrypt.ALWAYS, to=parse_mailboxes("eve@e.test"))
        self.assertIn(self.keyring.keys["eve"], str(self.assertRaises(NotCertified, self.build, eve)))
        self.assertIn(b"BEGIN PGP", self.build(replace(eve, accepted_keys=frozenset({self.keyring.keys["eve"]}))))
        stranger = replace(self.draft, sender=Mailbox("", parse_address("x@x.test")))
        for draft in (replace(stranger, sign=True), replace(stranger, encrypt=Encrypt.ALWAYS)):
            self.assertIn("x@x.test", str(self.assertRaises(ComposeError, self.build, draft)))
            self.assertRaises(ComposeError, build, draft, self.now, None)
            self.assertIn(b"BEGIN PGP", self.build(draft, own=self.keyring.keys["alice"]))
            self.assertRaises(ComposeError, self.build, draft, own="0123456789ABCDEF")

    def test_when_possible(self) -> None:
        """A message for which a key is missing or not certified goes out in clear, and says so."""
        draft = replace(self.draft, encrypt=Encrypt.WHEN_POSSIBLE)
        self.assertIn(b"BEGIN PGP MESSAGE", self.build(draft))
        for address in ("nobody@n.test", "eve@e.test"):
            clear = replace(draft, cc=parse_mailboxes(address))
            self.assertNotIn(b"BEGIN PGP", self.build(clear))
            self.assertIn(f"neither signed nor encrypted; {address}", plan(clear, self.gpg).words)
        self.assertNotIn(b"BEGIN PGP", build(draft, self.now, None).octets)

    def test_a_passphrase_is_not_asked_for_without_leave(self) -> None:
        self.keyring.end_agent()
        draft = replace(self.draft, sign=True, sender=Mailbox("", parse_address("lock@l.test")))
        self.assertRaises(PassphraseNeeded, self.build, draft)
        self.assertIn(b"BEGIN PGP SIGNATURE", build(draft, self.now, self.gpg, ask=True).octets)
        self.keyring.end_agent()

    def test_a_draft_that_will_be_encrypted_is_encrypted_on_the_disk(self) -> None:
        draft = replace(self.draft, sign=True, encrypt=Encrypt.ALWAYS, bcc=parse_mailboxes("eve@e.test"))
        draft.attachments = [Attachment("a.txt", b"hello", "text/plain")]
        octets = draft_octets(draft, self.now, seal(draft, self.gpg))
        self.assertNotIn(b"xylophone", octets)
        again = draft_of(octets, True, self.opener)
        self.assertEqual(
            (again.subject, again.text, again.to, again.bcc, again.attachments, again.sign, again.encrypt),
            (draft.subject, draft.text, draft.to, draft.bcc, draft.attachments, True, Encrypt.ALWAYS),
        )
        self.assertRaises(ComposeError, draft_of, octets, True)
        self.assertIsNone(seal(replace(draft, encrypt=Encrypt.WHEN_POSSIBLE), self.gpg))
        self.assertRaises(ComposeError, seal, draft, None)
        # A subject may be empty, and the text may have a block of OpenPGP, which is not opened.
        block = self.keyring.encrypt(b"zither\n", "alice").decode()
        bare = replace(draft, subject="", text=block)
        again = draft_of(draft_octets(bare, self.now, seal(bare, self.gpg)), True, self.opener)
        self.assertEqual((again.subject, again.text), ("", block))
        self.assertNotIn("Subject", dict(view(self.build(replace(bare, bcc=[])), opener=self.opener).headers))
        # The same for a message that was stopped in the outbox, and one that is only signed.
        stopped = draft_of(self.build(replace(draft, bcc=[])), True, self.opener)
        self.assertEqual((stopped.text, stopped.sign, stopped.encrypt), (draft.text, True, Encrypt.ALWAYS))
        signed = draft_of(self.build(replace(draft, bcc=[], encrypt=Encrypt.NEVER)), True, self.opener)
        self.assertEqual((signed.text, signed.sign, signed.encrypt), (draft.text, True, Encrypt.NEVER))
        self.assertEqual(signed.attachments, draft.attachments)

    def test_an_answer_is_encrypted_and_gives_no_other_text_away(self) -> None:
        octets = self.build(replace(self.draft, encrypt=Encrypt.ALWAYS))
        bob = Mailbox("", parse_address("bob@b.test"))
        answer = reply(octets, bob, opener=self.opener)
        self.assertIn("> xylophone", answer.text or "")
        self.assertEqual((answer.subject, answer.encrypt), ("Re: Größe", Encrypt.ALWAYS))
        self.assertEqual(forward(octets, bob, True, self.opener).encrypt, Encrypt.ALWAYS)
        closed = reply(octets, bob)
        self.assertEqual(closed.encrypt, Encrypt.ALWAYS)
        self.assertNotIn("xylophone", closed.text or "")
        inner = encrypted(self.keyring.encrypt(b"\r\nxylophone\r\n", "alice"), head=b"")
        mixed = HEAD + b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\nHow are you?\r\n--m\r\n" + inner
        for trap in (
            mixed + b"\r\n--m--\r\n",
            HEAD + b"\r\nHow are you?\n" + self.keyring.encrypt(b"xylophone", "alice"),
        ):
            self.assertIn("xylophone", view(trap, opener=self.opener).body)
            answer = reply(trap, bob, opener=self.opener)
            self.assertIn("How are you?", answer.text or "")
            self.assertNotIn("xylophone", answer.text or "")
            self.assertNotIn("xylophone", forward(trap, bob, True, self.opener).text or "")

    def test_a_new_message_from_an_encrypted_one_inside_a_signature_is_encrypted(self) -> None:
        """The signature may be bad. If other parts stand beside it, the new message has no decrypted text."""
        inner = encrypted(self.keyring.encrypt(b"\r\nxylophone\r\n", "alice"), head=b"")
        signature = self.keyring.sign(inner, "bob")
        for octets in (signed(inner, signature), signed(inner, self.keyring.sign(b"other", "bob"))):
            draft = draft_of(octets, opener=self.opener)
            self.assertEqual((draft.text, draft.encrypt), ("xylophone\n", Encrypt.ALWAYS))
            self.assertEqual(reply(octets, ALICE, opener=self.opener).encrypt, Encrypt.ALWAYS)
        draft = draft_of(signed(inner, signature, more=b"--s\r\n\r\nHow are you?\r\n"), opener=self.opener)
        self.assertEqual((draft.text, draft.encrypt), ("How are you?", Encrypt.NEVER))
        self.assertNotIn(b"xylophone", b"".join(one.octets for one in draft.attachments))
        beside = encrypted(self.keyring.encrypt(b"\r\nxylophone\r\n", "alice"), more=b"--e\r\n\r\nfooter\r\n")
        refused = self.assertRaises(ComposeError, draft_of, beside, opener=self.opener)
        self.assertIn("Only a part", str(refused))
        self.assertNotIn("xylophone", reply(beside, ALICE, opener=self.opener).text or "")

    def test_the_editor_and_the_accounts_file_keep_the_choice(self) -> None:
        for sign in (True, False):
            for encrypt in Encrypt:
                draft = replace(self.draft, sign=sign, encrypt=encrypt)
                again = from_text(to_text(draft), self.draft, Path.cwd())
                self.assertEqual((again.sign, again.encrypt), (sign, encrypt))
                again = draft_of(draft_octets(draft, self.now, seal(draft, self.gpg)), True, self.opener)
                self.assertEqual((again.sign, again.encrypt), (sign, encrypt))
                file = AccountsFile(Path(self.mktemp()) / "mail.toml")
                account = Account(
                    "a", ALICE.address, sign=sign, encrypt=encrypt, openpgp_key=self.keyring.keys["alice"]
                )
                file.put(account)
                self.assertEqual(file.load()["a"], account)
        self.assertRaises(ComposeError, from_text, "Protect: encryption\n\nx", self.draft, Path.cwd())
        path = Path(self.mktemp())
        for line in ('sign = "yes"', 'encrypt = "often"', 'openpgp_key = "--output"'):
            path.write_text(f'[accounts.a]\naddress = "a@a.test"\n{line}\n', "utf-8")
            self.assertRaises(AccountError, AccountsFile(path).load)
