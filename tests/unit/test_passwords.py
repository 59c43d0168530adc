"""Stored passwords and the rule for new ones."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import argon2
import bcrypt
import zxcvbn  # type: ignore[import-untyped]
from twisted.trial.unittest import SynchronousTestCase

from emailsys import passwords
from emailsys.passwords import PasswordError

_ANN = "ann.miller@example.test"


class NewPasswordTests(SynchronousTestCase):
    """The rule for new passwords."""

    def accept(self, password: str) -> None:
        passwords.check_new_password(password, [_ANN], 10)

    def test_long_passwords_of_any_characters_are_accepted(self) -> None:
        """Length counts, classes of characters do not (NIST SP 800-63B §5.1.1.2)."""
        for password in ("correct horse battery", "gr\u00fcner K\u00fcrbis im Garten", "kx9mqz7lwa"):
            with self.subTest(password):
                self.accept(password)

    def test_a_short_password_is_refused(self) -> None:
        """The message has both lengths. Characters are counted after normalization."""
        self.assertRaisesRegex(PasswordError, "has 9 characters; at least 10", self.accept, "kx9mqz7lw")
        self.assertRaisesRegex(PasswordError, "has 9 characters", self.accept, "kx9mqz7le\u0301")
        self.assertRaisesRegex(PasswordError, "has 1 character;", self.accept, "k")

    def test_common_passwords_are_refused(self) -> None:
        """Also with digits behind them, doubled, or as a walk on the keyboard."""
        for password, reason in (
            ("password123", "very common"),
            ("passwordpassword", "repeats"),
            ("1qaz2wsx3edc", "common"),
            ("iloveyou2020", "commonly used"),
            ("aaaaaaaaaaaaaaaa", "repeats"),
            ("x" * 1000, "repeats"),
            ("abcdefghijkl", "sequences"),
        ):
            with self.subTest(password):
                self.assertRaisesRegex(PasswordError, reason, self.accept, password)

    def test_the_name_of_the_account_is_no_password(self) -> None:
        """Neither are its parts, whatever stands between them, in either case or backwards."""
        for password in (
            _ANN,
            "Ann-Miller-Example-Test",
            "annmiller1",
            "example.test 2026",
            "MILLER.example",
            "tset.elpmaxe@rellim.nna",
        ):
            with self.subTest(password):
                self.assertRaisesRegex(PasswordError, "account's own name", self.accept, password)
        self.accept("miller likes green tea")

    def test_a_minimum_length_of_0_accepts_any_password(self) -> None:
        """But no text that cannot be hashed."""
        passwords.check_new_password("test", [_ANN], 0)
        self.assertRaisesRegex(PasswordError, "empty", passwords.check_new_password, "", [_ANN], 0)

    def test_the_longest_password_is_checked_at_once(self) -> None:
        """The work of zxcvbn grows with the square of the length: 32 characters take 0.5 s, 72 take 2.5 s."""
        estimate, seen = zxcvbn.zxcvbn, []

        def watch(password: str, user_inputs: Sequence[str]) -> Any:
            seen.append(len(password))
            return estimate(password, user_inputs=user_inputs)

        self.patch(zxcvbn, "zxcvbn", watch)
        self.accept("4@8({[<369&!1|70$5+7%2" * 40)
        self.assertEqual(seen, [32])

    def test_threads_do_not_mix_the_names_of_accounts(self) -> None:
        """zxcvbn keeps them in a variable of its module."""
        self.accept("correct horse battery")
        estimate, seen = zxcvbn.zxcvbn, []

        def watch(password: str, user_inputs: Sequence[str]) -> Any:
            result = estimate(password, user_inputs=user_inputs)
            seen.append(set(zxcvbn.matching.RANKED_DICTIONARIES["user_inputs"]) == set(user_inputs))
            return result

        self.patch(zxcvbn, "zxcvbn", watch)
        names = ("ann@example.test", "bob@example.test")
        threads = [
            threading.Thread(target=passwords.check_new_password, args=("4@8({[<369&!1|70$5+7%2", [name], 10))
            for name in names
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(seen, [True, True])


class ImportTests(SynchronousTestCase):
    """Hashes that other programs made."""

    #: Of "secret", made by Dovecot's `doveadm pw` and `openssl passwd`; the last one by argon2-cffi.
    hashes = (
        "{SHA512-CRYPT}$6$x1/OxRdKKc0R86ve$nZ7q6QWPRNUDP6HOwf.Mfbgtv7CWvtuU7S534lWTSfZux46epvYYG86aOrbLtGyQMII0qUDMbo.HC"
        "S9mpDymw1",
        "$6$x1/OxRdKKc0R86ve$nZ7q6QWPRNUDP6HOwf.Mfbgtv7CWvtuU7S534lWTSfZux46epvYYG86aOrbLtGyQMII0qUDMbo.HCS9mpDymw1",
        "{BLF-CRYPT}$2y$05$zjIqE0Uo5wJyoOfeg8fBSeBDmjDmpOaDxhNk3jIQJANetjza7byPu",
        "{CRYPT}$2y$05$NaKSyHwx/5CVSNQY83ufsuI..WjqUTDrk78fJfhhnclPsGiOzgTb.",
        "{SSHA512}uHSsOkdS6xMrxXvyVaz7qvxB0PnnN9fCrhE8/OJS0ds8zb8JUdtBcYCCSjWuCZn0v5GgNYu8xT4uwwgiYf8IeXUzz+8=",
        "{SSHA}wKagv8Eh3s4+cDgJhA5mx6umdeNQbGfE",
        "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$A3UHGbn53FFT6hBs7AK9UQ$oOoVQDk0YJTmzD+ZVhSneEJ7RKjQH8A1PsKzoWC4I5s",
    )

    def test_imported_hashes_verify_and_are_outdated(self) -> None:
        """The next login replaces them."""
        for text in self.hashes:
            with self.subTest(text):
                ((_, stored),) = passwords.import_hash(text)
                self.assertTrue(passwords.verify_password(stored, "secret"))
                self.assertFalse(passwords.verify_password(stored, "Secret"))
                self.assertFalse(passwords.verify_password(stored, "\x00"))
                self.assertTrue(passwords.needs_rehash(stored))

    def test_bcrypt_uses_the_first_72_octets_of_a_password(self) -> None:
        """As it did where the hash was made."""
        stored = "$2b$04$" + bcrypt.hashpw(b"x" * 72, b"$2b$04$abcdefghijklmnopqrstuu").decode()[7:]
        ((_, stored),) = passwords.import_hash(stored)
        self.assertTrue(passwords.verify_password(stored, "x" * 90))

    def test_hashes_of_unknown_form_and_hashes_that_cost_too_much_are_refused(self) -> None:
        """A login must not keep a thread busy for minutes."""
        for text, reason in (
            ("secret", "no known form"),
            ("{PLAIN}secret", "no known form"),
            ("$6$salt", "no known form"),
            ("{SSHA}x", "no known form"),
            ("$y$j9T$abc$def", "no known form"),
            ("", "no known form"),
            ("$argon2id$v=19$m=1", "malformed"),
            (self.hashes[6].replace("m=65536", "m=4000000").removeprefix("{ARGON2ID}"), "costs more"),
            (self.hashes[6].replace("m=65536,t=3", "m=262144,t=5").removeprefix("{ARGON2ID}"), "more than 1 GiB"),
            (self.hashes[6].replace("p=1", "p=32768").removeprefix("{ARGON2ID}"), "32768 lanes"),
            (self.hashes[1].replace("$6$", "$6$rounds=999999999$"), "999999999 rounds"),
            (self.hashes[2].replace("$05$", "$20$"), "20 rounds"),
        ):
            with self.subTest(text):
                self.assertRaisesRegex(PasswordError, reason, passwords.import_hash, text)


class PasswordTests(SynchronousTestCase):
    """Hashing and verification."""

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

    def test_text_that_cannot_be_a_password_is_not_hashed(self) -> None:
        """Empty, control characters, octets that were no UTF-8."""
        for text, complaint in (("", "is empty"), ("a\tb", "control"), ("a\x00", "control"), ("\udc80", "control")):
            with self.subTest(repr(text)):
                self.assertRaisesRegex(PasswordError, complaint, passwords.hash_password, text)

    def test_text_that_cannot_be_a_password_matches_no_hash(self) -> None:
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

    def test_credentials_are_outdated_while_a_secret_is_missing_or_too_cheap(self) -> None:
        """What a new password makes is never outdated: otherwise each login would hash again."""
        made = passwords.make_credentials("secret")
        self.assertFalse(passwords.are_outdated([*made, ("another", "x")]))
        for number, (scheme, _) in enumerate(made):
            self.assertTrue(passwords.are_outdated(made[:number] + made[number + 1 :]), scheme)
        self.assertTrue(passwords.are_outdated([("imported", "$6$salt$hash")]))
        self.assertTrue(passwords.are_outdated([(scheme, secret.replace("t=2", "t=1")) for scheme, secret in made]))

    def test_no_password_fits_the_dummy_hash(self) -> None:
        """Not even what it was made of; and it costs what a real one does."""
        dummy = passwords.dummy_hash()
        for text in ("", "\x00 no password", "no password"):
            self.assertFalse(passwords.verify_password(dummy, text))
        self.assertFalse(passwords.needs_rehash(dummy))
        self.assertIs(passwords.dummy_hash(), dummy)
