"""Checksums of body pieces cover the octets, the flag and the position."""

from __future__ import annotations

from hashlib import sha256

from twisted.trial.unittest import SynchronousTestCase

from emailsys.store.commit.checksum import checksum, is_intact

TEXT = b"Subject: x\r\n\r\n.dots\r\n" * 20


class ChecksumTests(SynchronousTestCase):
    """Which changes a checksum detects."""

    def test_each_octet_the_flag_and_the_place_count(self) -> None:
        stored = checksum(7, 1, True, TEXT)
        self.assertEqual(len(stored), 8)
        self.assertTrue(is_intact(7, 1, True, TEXT, stored, None))
        for at in range(len(TEXT)):
            changed = TEXT[:at] + bytes([TEXT[at] ^ 1]) + TEXT[at + 1 :]
            self.assertFalse(is_intact(7, 1, True, changed, stored, None), at)
        self.assertFalse(is_intact(7, 1, False, TEXT, stored, None))
        self.assertFalse(is_intact(7, 2, True, TEXT, stored, None))
        self.assertFalse(is_intact(8, 1, True, TEXT, stored, None))
        self.assertFalse(is_intact(7, 1, True, TEXT[:-1], stored, None))

    def test_a_checksum_is_the_same_in_each_release(self) -> None:
        """Stores contain checksums. Another value for the same piece would make all mail appear damaged."""
        self.assertEqual(checksum((1 << 63) - 1, 3, True, b"hello\r\n").hex(), "0f34afe94c0e745e")

    def test_without_a_checksum_the_digest_counts_and_without_both_nothing_can_be_said(self) -> None:
        digest = sha256(TEXT).digest()
        self.assertTrue(is_intact(7, 0, False, TEXT, None, digest))
        self.assertFalse(is_intact(7, 0, False, TEXT[1:], None, digest))
        self.assertTrue(is_intact(7, 0, False, TEXT[1:], None, None))
