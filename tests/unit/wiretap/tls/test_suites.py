"""Cipher suites and their names."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.wiretap.tls.names import GROUPS, clean, is_post_quantum, name_in, shown
from emailsys.wiretap.tls.suites import all_suites, suite


class SuiteTests(SynchronousTestCase):
    """What a name tells."""

    def test_properties(self) -> None:
        """Key exchange, forward secrecy, AEAD, flaws."""
        expected = {
            0x1301: ("", True, True, 0),
            0x002F: ("RSA", False, False, 0),
            0x0003: ("RSA", False, False, 3),
            0x000A: ("RSA", False, False, 1),
            0x009E: ("DHE", True, True, 0),
            0xC013: ("ECDHE", True, False, 0),
            0xCCA8: ("ECDHE", True, True, 0),
            0xC0AC: ("ECDHE", True, True, 0),
            0x0018: ("DH", True, False, 3),
            0xC002: ("ECDH", False, False, 1),
            0x00A8: ("PSK", False, True, 0),
            0xC0B4: ("", True, True, 1),
        }
        found = {
            code: (s.key_exchange, s.has_forward_secrecy, s.is_aead, len(s.flaws))
            for code, s in all_suites().items()
            if code in expected
        }
        self.assertEqual(found, expected)

    def test_unknown_codes(self) -> None:
        """Signals of clients, values that mean nothing, and what no registry has."""
        self.assertEqual(suite(0x5600).name, "TLS_FALLBACK_SCSV")
        self.assertEqual(suite(0x1A1A).name, "suite 0x1A1A (GREASE)")
        self.assertEqual(suite(0xEEEE).name, "suite 0xEEEE")
        self.assertFalse(suite(0xEEEE).has_forward_secrecy)

    def test_every_suite_is_named_once(self) -> None:
        """A code has one name, and a name one code."""
        self.assertEqual(len({s.name for s in all_suites().values()}), len(all_suites()))
        self.assertGreater(len(all_suites()), 340)


class NameTests(SynchronousTestCase):
    """Numbers and text of others."""

    def test_post_quantum_groups(self) -> None:
        """Hybrids are named as such."""
        found = {name for code, name in GROUPS.items() if is_post_quantum(code)}
        self.assertIn("X25519MLKEM768", found)
        self.assertNotIn("X25519", found)
        self.assertEqual(name_in(GROUPS, 0x2A2A), "0x2A2A (GREASE)")

    def test_shown(self) -> None:
        """No control characters, and no more than the limit."""
        self.assertEqual(shown(b"mx\x1b[31m\xff\r\n"), r"mx\x1b[31m\xff\r\n")
        self.assertEqual(clean("x" * 300), "x" * 255 + "…")
