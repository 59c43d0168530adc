"""Search of LDAP: the request as RFC 4511 writes it, and answers however they are split, cut, forged or endless."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.wire.ldap_search import Found, read_found, search_request
from emailsys.wire.ldap_values import LDAPError

# slapd's answers with number 4: an entry cn=a without attributes, a reference to another server, and the end.
ENTRY = bytes.fromhex("300d02010464080404") + b"cn=a" + bytes.fromhex("3000")
REFERENCE = bytes.fromhex("3010020104730b0409") + b"ldap://x/"
DONE = bytes.fromhex("300c02010465070a010004000400")


class Requests(SynchronousTestCase):
    def test_a_search_is_as_ldapsearch_sends_it(self) -> None:
        """ldapsearch -b dc=x -z 2 (uid=bob) 1.1"""
        self.assertEqual(
            search_request(4, b"dc=x", b"uid", b"bob"),
            bytes.fromhex("302d020104")
            + bytes.fromhex("6328")
            + b"\x04\x04dc=x"
            + bytes.fromhex("0a01020a0100020102020100010100")
            + b"\xa3\x0a\x04\x03uid\x04\x03bob"
            + b"\x30\x05\x04\x031.1",
        )


class Answers(SynchronousTestCase):
    def test_answers_are_read_however_they_are_split(self) -> None:
        twice = ENTRY + REFERENCE + ENTRY + DONE
        for octets, names in ((DONE, ()), (ENTRY + DONE, (b"cn=a",)), (twice, (b"cn=a", b"cn=a"))):
            for at in range(len(octets)):
                self.assertIsNone(read_found(octets[:at], 4))
            self.assertEqual(read_found(octets, 4), Found(names, 0, ""))

    def test_what_is_no_answer_to_the_request_is_an_error(self) -> None:
        bind_answer = bytes.fromhex("300c02010461070a010004000400")
        empty = bytes.fromhex("3003020104")
        cut = bytes.fromhex("30050201046400")
        for octets in (
            b"HTTP/1.1 400 Bad Request\r\n",
            DONE + b"\0",
            bind_answer,
            empty,
            cut,
            ENTRY * 20_000,
            REFERENCE * 101,
        ):
            self.assertRaises(LDAPError, read_found, octets, 4)
        self.assertRaises(LDAPError, read_found, ENTRY, 5)
