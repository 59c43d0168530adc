"""Scripted failures: sentences, conditions and counts."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.reply import Reply
from emailsys.testing.failures import Cut, Failure, FailureScript, FailureSyntaxError, Stage, parse


class SentenceTests(SynchronousTestCase):
    """`parse`."""

    def test_a_refusal_with_recipient(self) -> None:
        """The example of the documentation."""
        reply = Reply(451, "4.0.0", "scripted failure")
        self.assertEqual(
            parse("451 at the first RCPT for x@"), Failure(Stage.RCPT, reply=reply, recipient="x@", times=1)
        )

    def test_a_refusal_with_its_own_code_and_text(self) -> None:
        """The text may hold anything but a quotation mark."""
        failure = parse('550 5.7.1 "not today: spam" at every MAIL from shop@example.com')
        reply = Reply(550, "5.7.1", "not today: spam")
        self.assertEqual(failure, Failure(Stage.MAIL, reply=reply, sender="shop@example.com"))

    def test_drops(self) -> None:
        """At a step, or after it."""
        self.assertEqual(parse("drop after the dot"), Failure(Stage.DOT, cut=Cut.AFTER))
        self.assertEqual(parse("Drop before the first 3 data"), Failure(Stage.DATA, cut=Cut.AT, times=3))

    def test_delays(self) -> None:
        """Without a step, each message is delayed once."""
        self.assertEqual(parse("slow by 2 s"), Failure(Stage.DOT, delay=2))
        self.assertEqual(parse("slow by 0.25 at connect"), Failure(Stage.CONNECT, delay=0.25))

    def test_the_text_of_a_failure_is_its_sentence(self) -> None:
        """What error messages and the command print can be pasted again."""
        for text in (
            "451 at the first RCPT for x@",
            "drop after the dot",
            "drop at first 2 DATA from @example.org",
            "slow by 1.5 s at EHLO",
            '535 5.7.8 "no" at AUTH',
            '-ERR "[SYS/TEMP] later" at the first 2 PASS for bob@',
            "drop after QUIT for x@example.com",
            "slow by 1 s at POP3",
        ):
            self.assertEqual(parse(str(parse(text))), parse(text))

    def test_what_can_never_happen_is_refused(self) -> None:
        """A typing error would make a test pass for the wrong reason."""
        for text in (
            "",
            "451",
            "250 at RCPT",
            "600 at RCPT",
            "451 5.0.0 at RCPT",
            "451 at RSET",
            "451 at MAIL for bob@example.com",
            "451 at connect from bob@example.com",
            "451 at RCPT for bob",
            "drop",
            "slow by two s",
            "slow by 2 s at noon",
            "451 at RCPT for x@ and more",
            "451 at RETR",
            "-ERR at RCPT",
            "-ERR at POP3 for bob@",
            "-ERR at RETR from bob@",
            '-ERR "\u00fc" at RETR',
        ):
            self.assertRaises(FailureSyntaxError, parse, text)


class ScriptTests(SynchronousTestCase):
    """`FailureScript`."""

    def test_addresses(self) -> None:
        """A whole address, a name in any domain, any name of a domain; upper and lower case are the same."""
        for pattern, fits, others in (
            ("x@", "X@a.example", "xx@a.example"),
            ("@a.example", "y@A.example", "y@b.a.example"),
            ("x@a.example", "X@A.example", "y@a.example"),
        ):
            failure = Failure(Stage.RCPT, recipient=pattern)
            self.assertTrue(failure.applies(Stage.RCPT, "", [others, fits]), pattern)
            self.assertFalse(failure.applies(Stage.RCPT, "", [others]), pattern)
            self.assertFalse(failure.applies(Stage.DATA, "", [fits]), pattern)

    def test_a_failure_ends_after_its_count(self) -> None:
        """`first 2` happens twice."""
        script = FailureScript()
        failure = script.add("450 at the first 2 RCPT")
        taken = [script.take(Stage.RCPT, "", ["a@example.com"]) for _ in range(3)]
        self.assertEqual(taken, [failure, failure, None])
        self.assertEqual(script.failures, ())
        self.assertEqual(len(script.history), 2)

    def test_a_delay_and_a_refusal_happen_together(self) -> None:
        """The second refusal is left for the next time."""
        script = FailureScript()
        for text in ("slow by 1 s at RCPT", "451 at the first RCPT", "550 at the first RCPT", "slow by 2 s at RCPT"):
            script.add(text)
        codes = []
        for _ in range(3):
            taken = script.take(Stage.RCPT)
            assert taken is not None
            codes.append((taken.reply.code if taken.reply else None, taken.delay))
        self.assertEqual(codes, [(451, 3), (550, 3), (None, 3)])

    def test_clearing(self) -> None:
        """Nothing happens any more, and nothing has happened."""
        script = FailureScript()
        script.add("451 at RCPT")
        script.take(Stage.RCPT)
        script.clear()
        self.assertIsNone(script.take(Stage.RCPT))
        self.assertEqual((script.failures, script.history), ((), []))
