"""Hops of a message, read from its Received fields."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.message.hops import Hop, hops


class HopTests(SynchronousTestCase):
    """RFC 5321 §4.4, as hosts write it."""

    def test_a_chain(self) -> None:
        """The last field is the first hop. Comments, also nested ones, hide nothing."""
        found = hops(
            [
                "from mx.example.org (mx.example.org [192.0.2.1] (may be forged with id x))\t"
                "by mail.example.com with ESMTPS id 7Q2 for <bob@example.com>; Mon, 30 Nov 2026 10:00:03 +0100",
                "from laptop ([198.51.100.7]) by mx.example.org (Postfix) with ESMTPSA; 30 Nov 2026 08:59:59 GMT",
            ]
        )
        self.assertEqual([hop.host for hop in found], ["mx.example.org", "mail.example.com"])
        self.assertEqual(
            found[1],
            Hop("mx.example.org", "mail.example.com", "ESMTPS", "7Q2", datetime(2026, 11, 30, 9, 0, 3, tzinfo=UTC)),
        )
        self.assertTrue(all(hop.is_encrypted for hop in found))

    def test_what_no_host_should_write(self) -> None:
        """Missing clauses and dates are empty."""
        self.assertEqual(hops(["x", ""]), [Hop("", "", "", "", None)] * 2)
        self.assertEqual(hops(["by a; not a date"]), [Hop("", "a", "", "", None)])
        self.assertEqual(len(hops(["from " + "a" * 99_999 + " by b"])[0].source), 255)
        self.assertEqual(hops(["(" * 5_000 + " by b; x"])[0].at, None)

    @settings(deadline=None, suppress_health_check=(HealthCheck.too_slow,))
    @given(st.lists(st.text(max_size=200), max_size=4))
    def test_anything_at_all(self, fields: list[str]) -> None:
        """Nothing raises."""
        self.assertEqual(len(hops(fields)), len(fields))
