"""Checkers of passwords by LDAP and by Dovecot: their conversations, and servers that lie, die or stall."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.extension import CheckContext, CheckFailed
from emailsys.interfaces import ClientPassword
from emailsys.net.outbound.dovecot_login import DovecotLogin
from emailsys.net.outbound.ldap_login import LDAPLogin
from emailsys.wire.ldap_bind import bind_request, start_tls_request
from emailsys.wire.ldap_search import search_request
from tests.unit.net.outbound.test_policy_server import Server
from tests.unit.wire.test_ldap_bind import RIGHT, WRONG
from tests.unit.wire.test_ldap_search import DONE, ENTRY, REFERENCE

ALICE = ClientPassword(b"alice@x.test", b"secret", "192.0.2.7")


class CheckerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server()

    def said(self) -> bytes:
        """What the last connection was sent."""
        octets: bytes = self.server.asked[-1][1].value()
        self.server.asked[-1][1].clear()
        return octets

    def transport(self) -> Any:
        """That of the last connection."""
        return self.server.asked[-1][1]

    def say(self, octets: bytes) -> None:
        self.server.asked[-1][0].dataReceived(octets)

    def hang_up(self) -> None:
        self.server.asked[-1][0].connectionLost(Failure(ConnectionDone()))


class LDAP(CheckerTestCase):
    def checker(self, kind: str = "ldap", url: str = "//localhost/uid={user},dc=x") -> LDAPLogin:
        return LDAPLogin(CheckContext(kind, url, "mx.test", Clock()), self.server)

    def ask(self, checker: LDAPLogin | None = None, credentials: ClientPassword = ALICE) -> Deferred[Any]:
        return (checker or self.checker()).requestAvatarId(credentials)

    def test_a_bind_with_the_name_and_the_password_decides(self) -> None:
        self.assertTrue(verifyObject(ICredentialsChecker, self.checker()))
        right, wrong = self.ask(), None
        self.assertEqual(self.said(), bind_request(2, b"uid=alice,dc=x", b"secret"))
        self.say(RIGHT[:5])
        self.say(RIGHT[5:])
        self.assertEqual(self.successResultOf(right), b"alice@x.test")
        wrong = self.ask()
        self.say(WRONG)
        self.failureResultOf(wrong, UnauthorizedLogin)

    def test_a_name_is_escaped_in_the_dn(self) -> None:
        _ = self.ask(self.checker(url="//127.0.0.1/cn={user},dc={domain}"), ClientPassword(b'"a,b"@x.test', b"s"))
        self.assertEqual(self.said(), bind_request(2, rb"cn=\22a\2cb\22,dc=x.test", b"s"))
        _ = self.ask(self.checker(url="//[::1]/{address}"))
        self.assertEqual(self.said(), bind_request(2, b"alice@x.test", b"secret"))

    def test_what_says_nothing_of_the_password_is_no_refusal(self) -> None:
        for octets in (b"nonsense", RIGHT + b"\0", bytes.fromhex("300c02010261070a013304000400")):
            asked = self.ask()
            self.say(octets)
            self.failureResultOf(asked, CheckFailed)
        asked = self.ask()
        self.hang_up()
        self.failureResultOf(asked, CheckFailed)
        self.server.refuses = True
        self.failureResultOf(self.ask(), CheckFailed)

    def test_a_server_that_stalls_is_left(self) -> None:
        asked = self.ask()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)

    def test_no_password_goes_to_another_machine_in_the_clear(self) -> None:
        asked = self.ask(self.checker(url="//ldap.test/uid={user}"))
        self.assertEqual(self.said(), start_tls_request(1))
        started: list[Any] = []
        self.transport().startTLS = started.append
        self.say(bytes.fromhex("300c02010178070a010004000400"))
        self.assertEqual(len(started), 1)
        self.assertEqual(self.said(), bind_request(2, b"uid=alice", b"secret"))
        self.say(RIGHT)
        self.successResultOf(asked)

        # A server that refuses it, or that has put an answer in front of it, gets no password.
        for answer in ("300c02010178070a010204000400", "300c02010178070a010004000400" + RIGHT.hex()):
            asked = self.ask(self.checker(url="//ldap.test/uid={user}"))
            self.said()
            self.say(bytes.fromhex(answer))
            self.failureResultOf(asked, CheckFailed)
            self.assertEqual(self.said(), b"")

        # TLS comes first.
        connected = self.server.connect

        def connect(factory: Any) -> Deferred[Any]:
            made = connected(factory)
            self.transport().startTLS = started.append
            return made

        self.server.connect = connect  # type: ignore[method-assign]
        _ = self.ask(self.checker("ldaps", "//localhost/uid={user}"))
        self.assertEqual(len(started), 2)
        self.assertEqual(self.said(), bind_request(2, b"uid=alice", b"secret"))

    def test_a_search_finds_the_name_of_the_user(self) -> None:
        for query, attribute, wanted in (
            ("uid", b"uid", b"alice"),
            ("mail", b"mail", b"alice@x.test"),
            ("cn=x-{user}", b"cn", b"x-alice"),
        ):
            asked = self.ask(self.checker(url=f"//localhost/dc=x?{query}"))
            self.assertEqual(self.said(), search_request(4, b"dc=x", attribute, wanted))
            self.say(ENTRY)
            self.say(REFERENCE + DONE)
            self.assertEqual(self.said(), bind_request(2, b"cn=a", b"secret"))
            self.say(RIGHT)
            self.assertEqual(self.successResultOf(asked), b"alice@x.test")

    def test_a_search_that_finds_nobody_refuses_the_login_and_one_that_finds_two_does_not(self) -> None:
        checker = self.checker(url="//localhost/dc=x?uid")
        nameless = bytes.fromhex("30090201046404040030 00")
        for octets, kind in (
            (DONE, UnauthorizedLogin),
            (ENTRY + ENTRY + DONE, CheckFailed),
            # sizeLimitExceeded, and noSuchObject: the base is wrong.
            (ENTRY + DONE.replace(b"\x0a\x01\x00", b"\x0a\x01\x04"), CheckFailed),
            (DONE.replace(b"\x0a\x01\x00", b"\x0a\x01\x20"), CheckFailed),
            (nameless + DONE, CheckFailed),
            (b"nonsense", CheckFailed),
        ):
            asked = self.ask(checker)
            self.said()
            self.say(octets)
            self.failureResultOf(asked, kind)
            self.assertEqual(self.said(), b"")

    def test_names_that_a_directory_takes_for_the_same_are_not_searched_for(self) -> None:
        for name in (b'" alice"@x.test', b'"al\\ice"@x.test'):
            asked = self.ask(self.checker(url="//localhost/dc=x?uid"), ClientPassword(name, b"secret", ""))
            self.failureResultOf(asked, UnauthorizedLogin)
            self.assertEqual(self.said(), b"")

    def test_a_name_that_is_another_one_for_a_directory_is_not_asked_for(self) -> None:
        """Wide letters, spaces of other kinds and at the ends, and what is not shown at all."""
        for url in ("//localhost/dc=x?uid", "//localhost/uid={user},dc=x"):
            for name in ("\uff41lice", "alice\u00a0", "alice ", " alice", "ali  ce", "al\u00adice", "alice\ufe0f"):
                asked = self.ask(self.checker(url=url), ClientPassword(f"{name}@x.test".encode(), b"secret", ""))
                self.failureResultOf(asked, UnauthorizedLogin)
                self.assertEqual(self.said(), b"")
            for name in ("alice", "ren\u00e9", "\u5f20\u4f1f"):
                _ = self.ask(self.checker(url=url), ClientPassword(f"{name}@x.test".encode(), b"secret", ""))
                self.assertNotEqual(self.said(), b"")

    def test_a_reader_logs_in_for_the_search(self) -> None:
        file = Path(self.mktemp())
        file.write_text("reader's\n")
        checker = self.checker(url=f"//localhost/dc=x?uid&bind_dn=cn=reader,dc=x&password_file={file}")
        asked = self.ask(checker)
        self.assertEqual(self.said(), bind_request(3, b"cn=reader,dc=x", b"reader's"))
        self.say(RIGHT.replace(b"\x02\x01\x02", b"\x02\x01\x03"))
        self.assertEqual(self.said(), search_request(4, b"dc=x", b"uid", b"alice"))
        self.say(ENTRY + DONE)
        self.say(WRONG)
        self.failureResultOf(asked, UnauthorizedLogin)
        # The reader's own password is no fault of the user.
        asked = self.ask(checker)
        self.say(WRONG.replace(b"\x02\x01\x02", b"\x02\x01\x03"))
        self.failureResultOf(asked, CheckFailed)

    def test_a_wrong_url_is_told_at_the_start(self) -> None:
        for url in (
            "",
            "//localhost/dc=x?uid&cn",
            "//localhost/dc=x?uid=alice",
            "//localhost/{other}?uid",
            "//localhost/dc=x?uid&bind_dn=cn=reader",
            "//localhost/dc=x?uid&bind_dn=cn=reader&password_file=/nowhere/password",
            "//localhost/{user}?bind_dn=cn=reader&password_file=/dev/null",
            # It has no end.
            "//localhost/{user}?bind_dn=cn=reader&password_file=/dev/zero",
            "//localhost",
            "//localhost/cn=admin",
            "//localhost/{user},{other}",
            "//user@localhost/{user}",
            "//localhost/{user}?scope=sub",
            "//localhost/{user}?ca_file",
            "//localhost:port/{user}",
        ):
            self.assertRaises(ValueError, self.checker, url=url)
        self.assertRaises(ValueError, self.checker, "ldaps", "//ldap.test/{user}?ca_file=/nowhere/ca.pem")


class Dovecot(CheckerTestCase):
    def ask(self, credentials: ClientPassword = ALICE) -> Deferred[Any]:
        return DovecotLogin(CheckContext("dovecot", "", "mx.test", Clock()), self.server).requestAvatarId(credentials)

    def greet(self) -> None:
        self.said()
        self.say(b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t2\nDO")
        self.assertEqual(self.said(), b"")
        self.say(b"NE\n")

    def test_the_server_decides_and_may_name_the_user(self) -> None:
        for answer, user in ((b"OK\t1\tuser=bob@x.test\n", b"bob@x.test"), (b"OK\t1\n", b"alice@x.test")):
            asked = self.ask()
            self.greet()
            self.assertIn(b"\tresp=" + b64encode(b"\0alice@x.test\0secret") + b"\n", self.said())
            self.say(answer)
            self.assertEqual(self.successResultOf(asked), user)
        asked = self.ask()
        self.greet()
        self.say(b"FAIL\t1\tuser=alice@x.test\n")
        self.failureResultOf(asked, UnauthorizedLogin)

    def test_what_says_nothing_of_the_password_is_no_refusal(self) -> None:
        for answer in (b"FAIL\t1\ttemp\n", b"CONT\t1\t\n", b"x" * 9000):
            asked = self.ask()
            self.greet()
            self.say(answer)
            self.failureResultOf(asked, CheckFailed)
        for greeting in (b"VERSION\t9\t1\n", b"x" * 9000):
            asked = self.ask()
            self.say(greeting)
            self.failureResultOf(asked, CheckFailed)
        asked = self.ask()
        self.hang_up()
        self.failureResultOf(asked, CheckFailed)

    def test_a_nul_is_a_wrong_password_and_asks_nobody(self) -> None:
        self.failureResultOf(self.ask(ClientPassword(b"alice@x.test", b"a\0b")), UnauthorizedLogin)
        self.assertEqual(self.server.asked, [])

    def test_a_wrong_address_of_the_server_is_told_at_the_start(self) -> None:
        for argument in ("", "unix:relative", "inet:host", "inet:host:0", "tcp:host:1"):
            self.assertRaises(ValueError, DovecotLogin, CheckContext("dovecot", argument, "mx.test", Clock()))
