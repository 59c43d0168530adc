"""Rewritten senders pass SPF at the next hop, return bounces, and cannot be used for relaying."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.address import Address, parse
from emailsys.mail.srs import MAX_AGE_DAYS, SRS

OURS = SRS(b"0123456789abcdef", "home.test")
DAY = 20_000


class Rewriting(SynchronousTestCase):
    def test_a_bounce_to_a_rewritten_sender_goes_to_the_sender(self) -> None:
        for text in (
            "eve@elsewhere.test",
            "a=b=c@elsewhere.test",
            '"two words"@elsewhere.test',
            "Eve+tag@x.test",
            '""@b.test',
        ):
            sender = parse(text)
            rewritten = OURS.rewrite(sender, DAY)
            self.assertEqual(rewritten.domain, "home.test")
            self.assertTrue(rewritten.local.startswith("SRS0="))
            self.assertEqual(OURS.restore(parse(str(rewritten)), DAY), sender)

    def test_a_bounce_of_a_sender_rewritten_twice_goes_to_the_first_forwarder(self) -> None:
        first = SRS(b"another secret 16", "first.test").rewrite(parse("eve@x.test"), DAY)
        second = OURS.rewrite(first, DAY)
        self.assertTrue(second.local.startswith("SRS1="), second)
        self.assertEqual(OURS.restore(second, DAY), first)

    def test_a_third_forwarder_skips_the_second(self) -> None:
        first = SRS(b"another secret 16", "f.test").rewrite(parse("eve@x.test"), DAY)
        second = SRS(b"and another secret", "s.test").rewrite(first, DAY)
        third = OURS.rewrite(second, DAY)
        self.assertEqual(OURS.restore(third, DAY), first)

    def test_other_separators_of_a_forwarder_are_kept(self) -> None:
        theirs = Address("SRS0+abcd=XY=x.test=eve", "f.test")
        self.assertEqual(OURS.restore(OURS.rewrite(theirs, DAY), DAY), theirs)

    def test_a_sender_that_could_not_be_restored_stays(self) -> None:
        """Bounces to the rewritten address would be lost."""
        for text in ("eve@[192.0.2.1]", "eve@[IPv6:2001:db8::1]", "eve@[x-net:a=b]"):
            self.assertEqual(OURS.rewrite(parse(text), DAY), parse(text))

    def test_a_forged_rewritten_address_is_not_restored(self) -> None:
        rewritten = OURS.rewrite(parse("eve@x.test"), DAY)
        for local in (
            rewritten.local.replace("eve", "bob"),
            rewritten.local.replace("x.test", "y.test"),
            "SRS0=AAAAAA=AA=x.test=eve",
            "SRS1=AAAAAA=f.test==AAAA=AA=x.test=eve",
            "SRS0=short=AA=x.test=eve",
            "SRS1=AAAAAA=f.test",
            "eve",
        ):
            self.assertIsNone(OURS.restore(Address(local, "home.test"), DAY), local)
        self.assertIsNone(SRS(b"another secret 16", "home.test").restore(rewritten, DAY))

    def test_a_rewritten_address_ends_after_some_weeks(self) -> None:
        rewritten = OURS.rewrite(parse("eve@x.test"), DAY)
        self.assertIsNotNone(OURS.restore(rewritten, DAY + MAX_AGE_DAYS))
        self.assertIsNone(OURS.restore(rewritten, DAY + MAX_AGE_DAYS + 1))

    def test_case_lost_on_the_way_does_no_harm(self) -> None:
        rewritten = OURS.rewrite(parse("eve@x.test"), DAY)
        self.assertEqual(OURS.restore(Address(rewritten.local.lower(), "home.test"), DAY), parse("eve@x.test"))

    def test_a_local_part_that_would_be_too_long_is_left_alone(self) -> None:
        sender = parse("e" * 40 + "@a-long-name-of-a-domain.example")
        self.assertEqual(OURS.rewrite(sender, DAY), sender)
