"""The mail that tells the postmaster about a certificate, from the daemon's parts to the maildrop."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.system.outbound.test_relay import ALICE, Systems

PROBLEM = "/etc/mail.pem: the certificate expires on 2027-04-02 12:00 UTC, in 13 days: renew it"


class NoticeTests(Systems):
    def test_the_postmaster_of_the_default_domain_gets_it(self) -> None:
        """The account that was added with the first domain is its postmaster."""
        told = Deferred.fromCoroutine(self.home.outbound.tell_postmaster([PROBLEM]))
        self.assertTrue(self.successResultOf(told))
        notice = self.found(ALICE)
        self.assertEqual(notice["Subject"], "A certificate of mx.home.test needs attention")
        self.assertEqual((notice["To"], notice["Return-Path"]), ("postmaster@mx.home.test", "<>"))
        self.assertIn("in 13 days: renew it.", " ".join(notice.get_content().split()))


del Systems
