"""An attack from ten thousand addresses at once: its memory, and what it means for others."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import LimitSettings, LoginSettings
from emailsys.delivery.notice_cap import NoticeCap
from emailsys.interfaces import LoginBusy
from emailsys.mail.address import parse
from emailsys.mail.envelope import RemoteRoute, Route
from emailsys.net.serving.admission import Admission
from emailsys.policy.failed_logins import FailedLogins
from emailsys.policy.unknown_recipients import UnknownRecipients
from emailsys.telemetry import Telemetry

ADDRESSES = 10_000
# Each is in a /24 network of its own, so that it has an entry in the tables of networks too.
ATTACKERS = [f"{1 + number // 256}.{number % 256}.113.7" for number in range(ADDRESSES)]
ALICE = (1, 0)
HOME = "198.51.100.7"
# The bound of the memory that all of them cost together, in octets.
BOUND = 64_000_000


class AttackTests(SynchronousTestCase):
    """All counters of one daemon, with the limits of its default configuration."""

    def setUp(self) -> None:
        self.clock = Clock()
        limits = LimitSettings()
        self.login = LoginSettings()
        self.logins = FailedLogins(self.clock, limits, self.login, lambda ip: False, lambda pair: None)
        self.recipients = UnknownRecipients(self.clock, limits, lambda ip: False)
        self.notices = NoticeCap(10, self.clock, Telemetry())
        self.admission = Admission(most_from_address=20)
        #: Passwords that are being verified. Each ends when its Deferred is called.
        self.verifying: list[Deferred[bool]] = []

    def tearDown(self) -> None:
        while self.verifying:
            self.verifying.pop().callback(False)

    def log_in(self, ip: str, number: int) -> Deferred[bool]:
        """Begin a login. It waits for its turn, then for the verification."""

        async def verify() -> bool:
            self.verifying.append(Deferred())
            return await self.verifying[-1]

        digest = number.to_bytes(32, "big")
        logging_in = Deferred.fromCoroutine(self.logins.verify(ALICE, ip, digest, verify))
        return logging_in.addErrback(lambda failure: bool(failure.trap(LoginBusy)) and False)

    def guess(self, ip: str, number: int) -> None:
        """Guess a recipient, and let a notice go to an address of the attacker."""

        async def unknown() -> Sequence[Route]:
            return ()

        _ = Deferred.fromCoroutine(self.recipients.look_up(ip, unknown))
        _ = Deferred.fromCoroutine(self.recipients.refuse(ip))
        victim = parse(f"victim{number}@domain{number}.example")
        self.assertTrue(self.notices.take(victim, [RemoteRoute(victim)], "Q"))

    def attack(self, ended: int) -> None:
        """Let each address connect, begin a login and guess; the first logins fail, the others wait."""
        for number, ip in enumerate(ATTACKERS):
            self.admission.enter(ip)
            _ = self.log_in(ip, number)
            self.guess(ip, number)
            if number < ended:
                self.verifying.pop().callback(False)

    def wait(self, attackers: int) -> None:
        """Let each of them begin a login. Those beyond the threads wait for their turn."""
        for number in range(attackers):
            _ = self.log_in(ATTACKERS[number], number)

    def test_all_counters_and_logins_that_wait_cost_less_than_64_mb(self) -> None:
        """Nearly all logins fail, so that each table has an entry for each address. Of the last, the most wait."""
        tracemalloc.start()
        try:
            self.attack(ended=ADDRESSES - self.login.max_waiting - self.login.hashing_threads)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(peak, BOUND)

    def test_a_new_client_is_the_next_whose_password_is_verified(self) -> None:
        """It waits for one verification, not for those of the attackers that came before."""
        self.wait(self.login.max_waiting)
        self.assertEqual(len(self.verifying), self.login.hashing_threads)
        home = self.log_in(HOME, ADDRESSES)
        self.assertEqual(len(self.verifying), self.login.hashing_threads)
        self.verifying.pop(0).callback(False)
        self.verifying.pop().callback(True)
        self.assertTrue(self.successResultOf(home))

    def test_a_client_that_has_logged_in_before_waits_for_no_turn(self) -> None:
        """Its network is known for this account."""
        first = self.log_in(HOME, ADDRESSES)
        self.verifying.pop().callback(True)
        self.assertTrue(self.successResultOf(first))
        self.wait(self.login.max_waiting)
        before = len(self.verifying)
        again = self.log_in(HOME, ADDRESSES)
        self.assertEqual(len(self.verifying), before + 1)
        self.verifying.pop().callback(True)
        self.assertTrue(self.successResultOf(again))
