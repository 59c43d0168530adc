"""Mail in the name of an account of this system, from a client that did not log in, in a browser."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes.net.web_house import WebHouse
from tests.unit.web.mail import logged_in, message, put

MARK = b"Authentication-Results: mail.home.test; auth=none\r\n"
RECEIVED = b"Received: from x by mail.home.test with ESMTP id q; Sun, 29 Nov 2026 12:00:00 +0000\r\n"


class ForgedTests(SynchronousTestCase):
    def test_a_sender_who_did_not_log_in_is_not_believed(self) -> None:
        house = WebHouse()
        browser = logged_in(house)
        for octets, is_told in ((MARK + RECEIVED + message(), True), (RECEIVED + message(), False)):
            page = browser.get(f"/mail/0/{put(house, octets)}/").text
            self.assertEqual("The sender did not log in to this system" in page, is_told)
