"""Dovecot's authentication protocol: a login that nothing can be added to, and the server's answers."""

from __future__ import annotations

from base64 import b64encode

from twisted.trial.unittest import SynchronousTestCase

from emailsys.wire.dovecot_auth import DovecotError, Verdict, ends_hello, hello, login, verdict


class Lines(SynchronousTestCase):
    def test_a_login_carries_any_octets_and_the_address_of_the_client(self) -> None:
        self.assertEqual(hello(7), b"VERSION\t1\t1\nCPID\t7\n")
        octets = login(b"alice@x.test", b"a\tb\nc", "192.0.2.7", "smtp")
        self.assertEqual(octets.count(b"\n"), 1)
        self.assertTrue(octets.startswith(b"AUTH\t1\tPLAIN\tservice=smtp\tsecured\t"))
        self.assertTrue(octets.endswith(b"\trip=192.0.2.7\tresp=" + b64encode(b"\0alice@x.test\0a\tb\nc") + b"\n"))
        self.assertNotIn(b"rip=", login(b"alice", b"x", "", "smtp"))

    def test_a_nul_cannot_be_sent(self) -> None:
        self.assertRaises(ValueError, login, b"alice", b"a\0bob\0secret", "", "smtp")
        self.assertRaises(ValueError, login, b"alice\0bob", b"a", "", "smtp")

    def test_the_greeting_ends_and_has_a_version(self) -> None:
        self.assertFalse(ends_hello(b"VERSION\t1\t2"))
        self.assertFalse(ends_hello(b"MECH\tPLAIN\tplaintext"))
        self.assertTrue(ends_hello(b"DONE"))
        self.assertRaises(DovecotError, ends_hello, b"VERSION\t2\t0")

    def test_each_answer(self) -> None:
        for line, expected in (
            (b"OK\t1\tuser=alice@x.test", Verdict(True, b"alice@x.test")),
            (b"OK\t1\tuser=a\x01tb\x011", Verdict(True, b"a\tb\x01")),
            (b"OK\t1", Verdict(True, b"")),
            # As Dovecot 2.3 answers the right password of a user who may not log in.
            (b"OK\t1\tuser=bob\tnologin\treason=closed", Verdict(False, b"bob")),
            (b"FAIL\t1\tuser=alice", Verdict(False, b"alice")),
            (b"FAIL\t1", Verdict(False, b"")),
            (b"FAIL\t1\tuser=alice\ttemp", Verdict(None, b"alice")),
            (b"FAIL\t1\tuser=alice\tcode=temp_fail", Verdict(None, b"alice")),
            (b"FAIL\t1\tuser=alice\tcode=user_disabled", Verdict(False, b"alice")),
        ):
            self.assertEqual(verdict(line), expected)
        for line in (b"", b"OK", b"OK\t2\tuser=bob", b"CONT\t1\t", b"HELLO\t1"):
            self.assertRaises(DovecotError, verdict, line)
