"""Protocol lines as they are recorded: what is shown, and what is masked."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.wiretap.masking import (
    MASK,
    printable,
    shown_challenge,
    shown_command,
    shown_reply_to_secret,
    shown_response,
    verb_of,
)


class CommandTests(SynchronousTestCase):
    """Lines of the side that gives commands."""

    def test_commands_without_secrets_are_shown(self) -> None:
        for line in (
            "EHLO mx.example.org",
            "MAIL FROM:<alice@example.org> SIZE=100 BODY=8BITMIME",
            "mail from:<>",
            "RCPT TO:<bob@example.org> NOTIFY=NEVER",
            "BDAT 86 LAST",
            "STARTTLS",
            "QUIT",
            "USER alice@example.org",
            "RETR 1",
            "TOP 1 10",
            "AUTH PLAIN",
            "AUTH LOGIN =",
        ):
            self.assertEqual(shown_command(line.encode()), line)

    def test_secrets_are_masked_wherever_a_client_may_put_them(self) -> None:
        for line, shown in {
            "AUTH PLAIN AGEAc2VjcmV0": f"AUTH PLAIN {MASK}",
            "auth login c2VjcmV0": f"auth login {MASK}",
            "AUTH c2VjcmV0": f"AUTH {MASK}",
            "AUTH  PLAIN c2VjcmV0": f"AUTH {MASK}",
            "AUTH PLAIN\tsecret": f"AUTH {MASK}",
            "PASS secret": f"PASS {MASK}",
            "pass secret": f"pass {MASK}",
            "PASS": "PASS",
            " PASS secret": MASK,
            "PASS\tsecret": MASK,
            "PASS\rsecret": MASK,
            "PASSsecret": MASK,
            "APOP alice c4c9334bac560ecc979e58001b3e22fb": f"APOP alice {MASK}",
            "APOP secret": f"APOP {MASK}",
            "XPASSWORD old secret": f"XPASSWORD {MASK}",
            "XCLIENT LOGIN=secret": f"XCLIENT {MASK}",
            "XSECRET secret": MASK,
            "secret": MASK,
            "QUIT secret": f"QUIT {MASK}",
            "NOOP secret": f"NOOP {MASK}",
            "USER alice secret": f"USER {MASK}",
            "RETR secret": f"RETR {MASK}",
            "MAIL FROM:<a@b> secret word": f"MAIL {MASK}",
            "MAIL secret": f"MAIL {MASK}",
            "EHLO my secret": f"EHLO {MASK}",
            "VRFY secret": f"VRFY {MASK}",
            "\x16\x03\x01secret": MASK,
        }.items():
            with self.subTest(line=line):
                self.assertEqual(shown_command(line.encode()), shown)

    def test_a_verb_that_may_be_a_password_is_unknown(self) -> None:
        self.assertEqual(verb_of(b"hunter2"), "")
        self.assertEqual(verb_of(b"rcpt TO:<a@b>"), "RCPT")

    def test_responses_of_an_exchange_are_masked(self) -> None:
        self.assertEqual(shown_response(b"c2VjcmV0"), MASK)
        self.assertEqual(shown_response(b"*"), "*")
        self.assertEqual(shown_response(b""), "")


class ReplyTests(SynchronousTestCase):
    """Lines of the side that answers."""

    def test_prompts_are_shown_and_challenges_are_masked(self) -> None:
        self.assertEqual(shown_challenge(b"334 UGFzc3dvcmQ6", b"334 "), "334 UGFzc3dvcmQ6")
        self.assertEqual(shown_challenge(b"334 cj1ub25jZQ==", b"334 "), f"334 {MASK}")
        self.assertEqual(shown_challenge(b"+ cj1ub25jZQ==", b"+ "), f"+ {MASK}")

    def test_of_a_reply_that_may_repeat_a_secret_only_the_codes_are_shown(self) -> None:
        self.assertEqual(shown_reply_to_secret(b"535 5.7.8 no user secret"), f"535 5.7.8 {MASK}")
        self.assertEqual(shown_reply_to_secret(b"500-secret"), f"500-{MASK}")
        self.assertEqual(shown_reply_to_secret(b"-ERR secret"), f"-ERR {MASK}")
        self.assertEqual(shown_reply_to_secret(b"secret"), MASK)

    def test_text_has_no_control_characters_and_is_cut(self) -> None:
        self.assertEqual(printable(b"a\x1b[31m\x00\xff\xe2\x80\xae"), "a\\x1b[31m\\x00\\xff\\u202e")
        self.assertEqual(printable(b"x" * 5000, 10), "xxxxxxxxxx...")
