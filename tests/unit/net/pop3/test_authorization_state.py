"""AUTHORIZATION state of POP3: logins, TLS, and their replies and log events."""

from __future__ import annotations

import base64
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import POP3Settings
from emailsys.interfaces import StoreError, TooManyGuesses
from emailsys.net.serving.session_login import MAX_FAILED_LOGINS
from emailsys.testing.memory_peer import LOOPBACK_6, STRANGER
from tests.fakes.net.pop3_house import LOGIN, POP3House


class LoginTests(SynchronousTestCase):
    """Logins before the maildrop is open."""

    def test_password_is_never_logged(self) -> None:
        house = POP3House()
        peer = house.connect()
        peer.say(b"USER alice@example.test\r\nPASS wr0ng!\r\nUSER alice@example.test\r\nPASS secret\r\n")
        self.assertIn("-ERR [AUTH]", peer.heard().decode())
        log = "\n".join(house.log.lines)
        self.assertNotIn("wr0ng!", log)
        self.assertNotIn("secret", log)
        self.assertIn("pop3-login-refused", log)
        self.assertIn("user=alice@example.test", log)

    def test_control_octets_of_a_name_do_not_reach_the_log(self) -> None:
        house = POP3House()
        peer = house.connect()
        response = base64.b64encode(b"\0a\r\npop3.login user=root\0x")
        peer.say(b"AUTH PLAIN " + response + b"\r\n")
        self.assertIn(b"-ERR [AUTH]", peer.heard())
        self.assertEqual([line for line in house.log.lines if "\n" in line or "\r" in line], [])

    def test_the_mind_describes_the_client(self) -> None:
        house = POP3House()
        house.connect(tls=True).say(LOGIN)
        mind = house.logins.asked[1]
        self.assertEqual((mind.ip, mind.protocol), ("127.0.0.1", "POP3S"))
        self.assertEqual(mind.session, house.server.authorization.session_id)

    def test_a_remote_client_may_log_in_only_under_tls(self) -> None:
        house = POP3House()
        peer = house.connect(STRANGER)
        peer.say(LOGIN)
        self.assertIn(b"-ERR not allowed without TLS\r\n-ERR USER first\r\n", peer.heard())
        peer = house.connect(STRANGER, tls=True)
        peer.say(LOGIN)
        self.assertIn(b"+OK 3 messages", peer.heard())

    def test_a_network_may_be_allowed_to_log_in_without_tls(self) -> None:
        """Containers on one machine, for instance."""
        peer = POP3House(POP3Settings(plaintext_auth_networks=("192.0.2.0/24",))).connect(STRANGER)
        peer.say(LOGIN)
        self.assertIn(b"+OK 3 messages", peer.heard())

    def test_loopback_of_ipv6_may_log_in_where_the_config_says_so(self) -> None:
        peer = POP3House().connect(LOOPBACK_6)
        peer.say(LOGIN)
        self.assertIn(b"+OK 3 messages", peer.heard())
        peer = POP3House(POP3Settings()).connect(LOOPBACK_6)
        peer.say(LOGIN)
        self.assertIn(b"-ERR not allowed without TLS", peer.heard())

    def test_stls_without_a_certificate_is_not_available(self) -> None:
        peer = POP3House().connect()
        peer.say(b"STLS\r\nCAPA\r\n")
        heard = peer.heard()
        self.assertIn(b"-ERR TLS is not available\r\n", heard)
        self.assertNotIn(b"\r\nSTLS\r\n", heard)

    def test_implicit_tls_offers_no_stls(self) -> None:
        peer = POP3House().connect(STRANGER, tls=True)
        peer.say(b"CAPA\r\n")
        heard = peer.heard()
        self.assertNotIn(b"STLS", heard)
        self.assertIn(b"\r\nUSER\r\n", heard)
        self.assertIn(b"SASL PLAIN LOGIN", heard)

    def test_too_many_logins_that_wait_are_a_temporary_error(self) -> None:
        house = POP3House()
        house.logins.busy = True
        peer = house.connect()
        peer.say(LOGIN)
        self.assertIn(b"-ERR [SYS/TEMP] too many logins wait", peer.heard())
        house.logins.busy = False
        peer.say(LOGIN)
        self.assertIn(b"+OK 3 messages", peer.heard())

    def test_after_too_many_guesses_logins_are_refused_temporarily_and_the_session_ends(self) -> None:
        house = POP3House()
        house.logins.failure = TooManyGuesses()
        peer = house.connect()
        for attempt in range(MAX_FAILED_LOGINS):
            self.assertFalse(peer.lost, attempt)
            peer.say(LOGIN)
            self.assertIn(b"-ERR [SYS/TEMP] too many failed logins from your network", peer.heard())
        self.assertTrue(peer.lost)
        self.assertIn("why=TooManyGuesses", "\n".join(house.log.lines))

    def test_a_store_that_cannot_open_the_maildrop_is_a_temporary_error(self) -> None:
        house = POP3House()
        house.logins.failure = StoreError("locked")
        peer = house.connect()
        peer.say(LOGIN)
        self.assertIn(b"-ERR [SYS/TEMP] the mail store cannot answer now", peer.heard())
        self.assertEqual(house.telemetry.counters["exception"], 0)

    def test_a_login_that_ends_after_the_peer_has_gone_releases_the_maildrop(self) -> None:
        house = POP3House()
        house.logins.hold = True
        peer = house.connect()
        peer.say(LOGIN)
        peer.lose()
        house.logins.held[0].callback(None)
        self.assertEqual(len(house.logins.opened), 1)
        self.assertTrue(house.logins.opened[0].released)
        house.logins.hold = False
        again = house.connect()
        again.say(LOGIN)
        self.assertIn(b"+OK 3 messages", again.heard())

    def test_commands_behind_a_slow_login_wait_for_it(self) -> None:
        house = POP3House()
        house.logins.hold = True
        peer = house.connect()
        peer.say(LOGIN + b"STAT\r\n")
        self.assertTrue(peer.heard().endswith(b"+OK send PASS\r\n"))
        peer.say(b"QUIT\r\n")
        self.assertEqual(peer.heard(), b"")
        house.logins.held[0].callback(None)
        self.assertEqual(peer.heard(), b"+OK 3 messages (133 octets)\r\n+OK 3 133\r\n+OK bye, 0 messages removed\r\n")

    def test_a_slow_password_check_is_not_held_against_the_client(self) -> None:
        house = POP3House()
        house.logins.hold = True
        peer = house.connect()
        peer.say(LOGIN)
        peer.heard()
        house.clock.pump([50, 50, 50])
        self.assertEqual(peer.heard(), b"")
        house.logins.held[0].callback(None)
        self.assertIn(b"+OK 3 messages", peer.heard())

    def test_a_tls_handshake_has_thirty_seconds(self) -> None:
        for peer_is_late in (True, False):
            house = POP3House(context_factory=object())
            peer = house.connect()
            peer.say(b"STLS\r\n")
            if not peer_is_late:
                house.clock.advance(29)
                house.server.handshakeCompleted()
            house.clock.advance(31)
            self.assertEqual(peer.transport.aborted, peer_is_late)

    def test_plaintext_octets_during_the_handshake_are_discarded(self) -> None:
        house = POP3House(context_factory=object())
        peer = house.connect()
        peer.say(b"STLS\r\nUSER alice@example.test\r\n")
        peer.say(b"PASS secret\r\n")
        self.assertTrue(peer.heard().endswith(b"+OK begin TLS\r\n"))
        house.server.handshakeCompleted()
        peer.say(b"NOOP\r\n")
        self.assertEqual(peer.heard(), b"-ERR NOOP is not allowed before login\r\n")
        self.assertEqual(house.telemetry.counters["pop3-plaintext-dropped"], 1)

    def test_an_avatar_that_is_no_maildrop_is_logged_and_logged_out(self) -> None:
        house = POP3House()
        loggedout: list[bool] = []

        async def open_nothing(account_id: int, interface: Any) -> Any:
            return interface, object(), lambda: loggedout.append(True)

        house.logins._open = open_nothing  # type: ignore[method-assign]
        peer = house.connect()
        peer.say(LOGIN)
        self.assertIn(b"-ERR [SYS/TEMP] internal error", peer.heard())
        self.assertEqual(house.telemetry.counters["exception"], 1)
        peer.lose()
        self.assertEqual(loggedout, [True])


class UnexpectedExceptionTests(SynchronousTestCase):
    """An unexpected exception."""

    def test_an_exception_is_logged_once_and_the_session_goes_on(self) -> None:
        house = POP3House()
        peer = house.login()

        def broken(i: int | None = None) -> Any:
            raise RuntimeError("secret path /var/x")

        house.logins.opened[0].listMessages = broken
        peer.say(b"STAT\r\nNOOP\r\n")
        self.assertEqual(peer.heard(), b"-ERR [SYS/TEMP] internal error; it was logged\r\n+OK\r\n")
        self.assertEqual(house.telemetry.counters["exception"], 1)

    def test_an_exception_in_a_coroutine_is_logged_and_answered(self) -> None:
        house = POP3House()
        peer = house.connect()
        house.logins.failure = RuntimeError("bug")
        peer.say(LOGIN)
        self.assertIn(b"-ERR [SYS/TEMP] internal error", peer.heard())
        house.logins.failure = None
        peer.say(LOGIN)
        self.assertIn(b"+OK 3 messages", peer.heard())
        self.assertEqual(house.telemetry.counters["exception"], 1)

    def test_an_exception_at_the_end_of_the_session_is_logged(self) -> None:
        house = POP3House()
        peer = house.login()

        def broken() -> None:
            raise RuntimeError("bug")

        house.server.authorization._login._logout = broken
        peer.lose()
        self.assertEqual(house.telemetry.counters["exception"], 1)
