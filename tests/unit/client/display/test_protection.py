"""Encrypted and signed mail says what it is, and that nothing was checked."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.display.message import view

HEAD = b"From: a@b.test\r\nDate: Mon, 2 Feb 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"


def multipart(kind: str, protocol: str, *parts: str) -> bytes:
    """A multipart of parts, each a content type."""
    inner = "".join(f"--b\r\nContent-Type: {one}\r\n\r\nx\r\n" for one in parts)
    return HEAD + f"Content-Type: multipart/{kind}; {protocol}boundary=b\r\n\r\n{inner}--b--\r\n".encode()


class Protection(SynchronousTestCase):
    def expect(self, octets: bytes, *warnings: str) -> None:
        """Compare the warnings of a message by how they begin."""
        told = view(octets).warnings
        self.assertEqual(len(told), len(warnings), told)
        for sentence, begin in zip(told, warnings, strict=True):
            self.assertEqual(sentence[: len(begin)], begin)

    def test_protected_parts_are_named(self) -> None:
        pgp, smime = "application/pgp-", "application/pkcs7-"
        self.expect(
            multipart("encrypted", f'protocol="{pgp}encrypted"; ', f"{pgp}encrypted", "application/octet-stream"),
            "This message is encrypted with OpenPGP, and cannot be read here.",
        )
        for protocol, method in (
            (f"{pgp}signature", "OpenPGP"),
            (f"{smime}signature", "S/MIME"),
            ("application/x-pkcs7-signature", "S/MIME"),
            ("a/b", "an unknown method"),
        ):
            self.expect(
                multipart("signed", f'protocol="{protocol}"; micalg=x; ', "text/plain", protocol),
                f"This message is signed with {method}. The signature is not checked.",
            )
        for kind, begin in (
            (f"{smime}mime; smime-type=enveloped-data; name=smime.p7m", "Part 1.1 is encrypted with S/MIME"),
            (f"{smime}mime; smime-type=Signed-Data", "Part 1.1 is signed with S/MIME, and its text is inside"),
            ("application/x-pkcs7-mime; smime-type=authEnveloped-data", "Part 1.1 is encrypted with S/MIME"),
            (f"{smime}mime; smime-type=certs-only", "Part 1.1 has certificates"),
            (f"{smime}mime", "Part 1.1 is encrypted or signed with S/MIME"),
            ("application/ms-tnef; name=winmail.dat", "Part 1.1 is a winmail.dat"),
            ("application/octet-stream; name=WINMAIL.DAT", "Part 1.1 is a winmail.dat"),
        ):
            self.expect(multipart("mixed", "", kind), begin)

    def test_the_whole_message_may_be_one_protected_part(self) -> None:
        self.expect(HEAD + b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nx\r\n",
                    "This message is encrypted with S/MIME, and cannot be read here.")  # fmt: skip

    def test_openpgp_in_the_text_is_named(self) -> None:
        for line, warnings in (
            ("-----BEGIN PGP MESSAGE-----", ["This message is encrypted with OpenPGP"]),
            ("-----BEGIN PGP SIGNED MESSAGE-----\t", ["This message is signed with OpenPGP. The signature is not"]),
            ("> -----BEGIN PGP MESSAGE-----", []),
            ("-----BEGIN PGP PUBLIC KEY BLOCK-----", []),
            ("the line -----BEGIN PGP MESSAGE----- in prose", []),
        ):
            self.expect(HEAD + b"\r\nHi,\r\n" + line.encode() + b"\r\n\r\nwcB\r\n", *warnings)

    def test_plain_mail_and_many_parts(self) -> None:
        self.expect(HEAD + b"\r\nhi\r\n")
        self.expect(multipart("mixed", "", "text/plain", "application/pdf", "application/pgp-keys"))
        many = view(multipart("mixed", "", *["application/pkcs7-mime"] * 30)).warnings
        self.assertEqual((len(many), many[-1]), (11, "And 20 more such parts."))
