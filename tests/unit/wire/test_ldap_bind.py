"""Simple bind of LDAP: requests as RFC 4511 writes them, and answers however they are split, cut or forged."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.wire.ldap_bind import Result, bind_request, escaped, read_result, start_tls_request
from emailsys.wire.ldap_values import LDAPError

# slapd's answers to a right and to a wrong password.
RIGHT = bytes.fromhex("300c02010261070a010004000400")
WRONG = bytes.fromhex("300c02010261070a013104000400")


class Requests(SynchronousTestCase):
    def test_a_bind_is_as_ldapsearch_sends_it(self) -> None:
        self.assertEqual(
            bind_request(1, b"cn=a", b"pw"), bytes.fromhex("3012020101600d0201030404") + b"cn=a" + b"\x80\x02pw"
        )

    def test_long_values_have_long_lengths(self) -> None:
        octets = bind_request(2, b"n" * 200, b"p" * 300)
        self.assertIn(b"\x04\x81\xc8" + b"n" * 200 + b"\x80\x82\x01\x2c" + b"p" * 300, octets)
        self.assertEqual(octets[:4], b"\x30\x82" + (len(octets) - 4).to_bytes(2, "big"))

    def test_a_bind_without_a_password_is_never_sent(self) -> None:
        """RFC 4513 §5.1.2: it would succeed for every name."""
        self.assertRaises(ValueError, bind_request, 1, b"cn=a", b"")

    def test_start_tls_names_its_operation(self) -> None:
        self.assertEqual(start_tls_request(1), b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + b"1.3.6.1.4.1.1466.20037")

    def test_a_user_cannot_change_the_name(self) -> None:
        self.assertEqual(escaped("alice.b-c_1@x.test"), "alice.b-c_1@x.test")
        self.assertEqual(escaped("a,cn=admin+\\ #\0{user}"), r"a\2ccn\3dadmin\2b\5c\20\23\00\7buser\7d")
        self.assertEqual(escaped("\u00e9"), r"\c3\a9")


class Answers(SynchronousTestCase):
    def test_an_answer_is_read_however_it_is_split(self) -> None:
        for octets, code in ((RIGHT, 0), (WRONG, 49)):
            for at in range(len(octets)):
                self.assertIsNone(read_result(octets[:at], 2))
            self.assertEqual(read_result(octets, 2), Result(code, ""))

    def test_what_is_no_answer_to_the_request_is_an_error(self) -> None:
        for octets in (
            b"HTTP/1.1 400 Bad Request\r\n",
            # Another number: the server ends the connection (RFC 4511 §4.4.1).
            bytes.fromhex("300c02010061070a010004000400"),
            # A search result, an answer that is cut off inside, and one without a length.
            bytes.fromhex("300c02010265070a010004000400"),
            bytes.fromhex("300a02010261070a0100040004"),
            bytes.fromhex("3080"),
            bytes.fromhex("3000"),
            # 4 GiB are announced.
            bytes.fromhex("3084ffffffff"),
            # More follows: it would come in front of TLS.
            RIGHT + RIGHT,
        ):
            self.assertRaises(LDAPError, read_result, octets, 2)
