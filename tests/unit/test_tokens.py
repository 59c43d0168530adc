"""The text of access tokens."""

from __future__ import annotations

import hashlib

from twisted.trial.unittest import SynchronousTestCase

from emailsys.tokens import make_token, read_token


class TokenTextTests(SynchronousTestCase):
    def test_a_token_that_was_made_is_read_again(self) -> None:
        made = make_token()
        self.assertEqual(read_token(made.text), (made.token_id, made.digest))

    def test_only_the_digest_is_kept_and_no_two_tokens_are_equal(self) -> None:
        made = [make_token() for _ in range(100)]
        self.assertEqual(len({token.digest for token in made}), 100)
        secret = made[0].text.rpartition("_")[2]
        self.assertEqual(len(bytes.fromhex(secret)), 32)
        self.assertEqual(made[0].digest, hashlib.sha256(secret.encode()).digest())

    def test_other_text_is_no_token(self) -> None:
        text = make_token().text
        for other in (
            "",
            text[:-1],
            text + "0",
            text.upper(),
            f" {text}",
            f"{text}\n",
            text.replace("_", "-"),
            "é" * 86,
        ):
            self.assertIsNone(read_token(other))
