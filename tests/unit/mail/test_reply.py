"""Replies are lines of RFC 5321, whatever text they contain."""

import re

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail import reply as replies
from emailsys.mail.reply import Reply

LINE = re.compile(rb"[2345][0-9]{2}[ -](?:[245]\.[0-9]{1,3}\.[0-9]{1,3} )?[\t -~]*\r\n")


class Replies(SynchronousTestCase):
    def test_a_reply_is_one_line(self) -> None:
        self.assertEqual(Reply(250, "2.1.0", "sender OK").encode(), b"250 2.1.0 sender OK\r\n")
        self.assertEqual(Reply(354, "", "go on").encode(), b"354 go on\r\n")
        self.assertEqual(replies.challenge(b"").encode(), b"334 \r\n")

    def test_each_line_of_a_long_reply_has_the_codes(self) -> None:
        self.assertEqual(
            Reply(550, "5.1.1", "no\n\nsuch").encode(), b"550-5.1.1 no\r\n550-5.1.1 \r\n550 5.1.1 such\r\n"
        )
        self.assertEqual(replies.hello("mx", ("SIZE 1", "HELP")).encode(), b"250-mx\r\n250-SIZE 1\r\n250 HELP\r\n")

    def test_no_line_has_more_than_512_octets(self) -> None:
        for length in (400, 490, 500, 503, 512, 2000):
            for enhanced in ("", "5.5.2"):
                encoded = Reply(500, enhanced, "x" * length).encode()
                lines = encoded.splitlines(keepends=True)
                self.assertTrue(all(len(line) <= 512 and LINE.fullmatch(line) for line in lines))
                self.assertEqual(encoded.count(b"x"), length)

    def test_control_octets_of_a_peer_are_escaped(self) -> None:
        encoded = Reply(550, "5.1.1", "no \r \0 \x1b[31m \x7f \x85 \u00fc here").encode()
        self.assertEqual(encoded, b"550 5.1.1 no \\r \\x00 \\x1b[31m \\x7f \\x85 \\xfc here\r\n")

    def test_every_reply_of_the_table_has_a_code_that_fits_its_class(self) -> None:
        """Enhanced codes on every 2xx, 4xx and 5xx, never on 3xx (RFC 2034 §3)."""
        table = [value for value in vars(replies).values() if isinstance(value, Reply)]
        self.assertGreater(len(table), 40)
        for reply in table:
            self.assertEqual(reply.enhanced[:1], "" if reply.code < 400 and reply.code >= 300 else str(reply.code)[0])
            self.assertTrue(LINE.fullmatch(reply.encode()), reply)
            self.assertEqual(reply.is_refusal, reply.code >= 400)

    def test_greeting_and_hello_have_no_enhanced_code(self) -> None:
        self.assertEqual(replies.greeting("mx.example.test").encode(), b"220 mx.example.test ESMTP emailsys\r\n")
        self.assertEqual(replies.hello("mx.example.test").encode(), b"250 mx.example.test\r\n")

    def test_the_reply_to_lf_alone_is_known_by_heart(self) -> None:
        self.assertEqual(
            replies.bad_line("line ended by LF alone; use CRLF (s_client -crlf)").encode(),
            b"500 5.5.2 line ended by LF alone; use CRLF (s_client -crlf)\r\n",
        )
        self.assertEqual(replies.queued("Q1").encode(), b"250 2.0.0 queued as Q1\r\n")
