"""Stored passwords: what is kept, what fits, what costs the same."""

from __future__ import annotations

import argon2
from twisted.trial.unittest import SynchronousTestCase

from emailsys import passwords
from emailsys.passwords import PasswordError


class PasswordTests(SynchronousTestCase):
    """Make and verify."""

    def test_the_right_password_fits_and_another_does_not(self) -> None:
        """The hash is not the password."""
        stored = passwords.hash_password("correct horse")
        self.assertTrue(passwords.verify_password(stored, "correct horse"))
        self.assertFalse(passwords.verify_password(stored, "Correct horse"))
        self.assertNotIn("horse", stored)

    def test_two_hashes_of_one_password_differ(self) -> None:
        """Each has a salt: nobody sees who shares a password."""
        self.assertNotEqual(passwords.hash_password("secret"), passwords.hash_password("secret"))

    def test_the_costs_are_those_of_the_design(self) -> None:
        """Two passes over 19 MiB, one lane, argon2id."""
        self.assertTrue(passwords.hash_password("secret").startswith("$argon2id$v=19$m=19456,t=2,p=1$"))

    def test_one_credentials_row_for_each_scheme(self) -> None:
        """SCRAM keys can stand beside it."""
        ((scheme, stored),) = passwords.make_credentials("secret")
        self.assertEqual(scheme, passwords.ARGON2ID)
        self.assertTrue(passwords.verify_password(stored, "secret"))

    def test_a_password_typed_on_another_keyboard_fits(self) -> None:
        """RFC 8265 §4.2: composed or not, with a no-break space or a plain one."""
        stored = passwords.hash_password("caf\u00e9 noir")
        self.assertTrue(passwords.verify_password(stored, "cafe\u0301\u00a0noir"))

    def test_what_can_be_nobodys_password_is_refused(self) -> None:
        """Empty, control characters, octets that were no UTF-8."""
        for text, complaint in (("", "is empty"), ("a\tb", "control"), ("a\x00", "control"), ("\udc80", "control")):
            with self.subTest(repr(text)):
                self.assertRaisesRegex(PasswordError, complaint, passwords.hash_password, text)

    def test_what_can_be_nobodys_password_fits_nobody(self) -> None:
        """Wrong, not an error: a peer sends what it likes."""
        stored = passwords.hash_password("secret")
        for text in ("", "secret\x00", "\udc80"):
            with self.subTest(repr(text)):
                self.assertFalse(passwords.verify_password(stored, text))

    def test_an_unreadable_hash_fits_nothing(self) -> None:
        """A row that someone edited."""
        for stored in ("", "plain", "$argon2id$v=19$m=19456,t=2,p=1$", "$6$salt$hash"):
            with self.subTest(stored):
                self.assertFalse(passwords.verify_password(stored, "plain"))
                self.assertTrue(passwords.needs_rehash(stored))

    def test_hashes_of_older_costs_are_recognised(self) -> None:
        """They still fit, and are to be made anew at the next chance."""
        old = argon2.PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash("secret")
        self.assertTrue(passwords.verify_password(old, "secret"))
        self.assertTrue(passwords.needs_rehash(old))
        self.assertFalse(passwords.needs_rehash(passwords.hash_password("secret")))

    def test_no_password_fits_the_dummy_hash(self) -> None:
        """Not even what it was made of; and it costs what a real one does."""
        dummy = passwords.dummy_hash()
        for text in ("", "\x00 no password", "no password"):
            self.assertFalse(passwords.verify_password(dummy, text))
        self.assertFalse(passwords.needs_rehash(dummy))
        self.assertIs(passwords.dummy_hash(), dummy)
