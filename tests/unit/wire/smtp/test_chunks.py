"""BDAT: messages in chunks (RFC 3030)."""

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail import reply as replies
from emailsys.wire.smtp.grammar import Chunk
from emailsys.wire.smtp.order import Stage
from emailsys.wire.smtp.server_events import Answer, Body, Command, End
from tests.unit.wire.smtp.test_server import events, session


class Chunks(SynchronousTestCase):
    def test_a_chunk_is_counted_not_searched(self) -> None:
        made = session(Stage.RCPT)
        found = events(made, b"BDAT 7\r\na\r\n.\r\nbBDAT 3 LAST\r\nc\r\nNOOP\r\n")
        self.assertEqual(found, [
            Command("BDAT", Chunk(7, False)), Body(b"a\r\n.\r\nb", End.CHUNK),
            Command("BDAT", Chunk(3, True)), Body(b"c\r\n", End.MESSAGE),
            Command("NOOP", b""),
        ])  # fmt: skip

    def test_a_chunk_may_come_octet_by_octet(self) -> None:
        made = session(Stage.RCPT)
        self.assertEqual(events(made, b"BDAT 3 LAST\r\n"), [Command("BDAT", Chunk(3, True))])
        self.assertTrue(made.in_body)
        self.assertEqual(events(made, b"a"), [Body(b"a", End.NOTHING)])
        self.assertEqual(events(made, b"\r"), [])
        self.assertEqual(events(made, b"\n"), [Body(b"\r\n", End.MESSAGE)])

    def test_crlf_may_be_split_between_chunks(self) -> None:
        made = session(Stage.RCPT)
        found = events(made, b"BDAT 2\r\na\rBDAT 1\r\n\nBDAT 0 LAST\r\n")
        pieces = [event.octets for event in found if isinstance(event, Body)]
        self.assertEqual(pieces, [b"a", b"\r\n", b""])
        self.assertEqual(found[-1], Body(b"", End.MESSAGE))

    def test_a_missing_last_crlf_is_added_and_counted(self) -> None:
        made = session(Stage.RCPT, limit=4)
        self.assertEqual(events(made, b"BDAT 2 LAST\r\nab")[-1], Body(b"ab\r\n", End.MESSAGE))
        made = session(Stage.RCPT, limit=3)
        self.assertEqual(events(made, b"BDAT 2 LAST\r\nab")[-1], Body(b"", End.MESSAGE, replies.TOO_BIG))

    def test_a_chunk_size_over_the_limit_refuses_immediately(self) -> None:
        made = session(Stage.RCPT, limit=10)
        found = events(made, b"BDAT 99999999999999999999\r\nabc")
        self.assertEqual(found[1:], [Body(b"", End.NOTHING, replies.TOO_BIG)])
        for _ in range(10):
            self.assertEqual(events(made, b"a" * 65536), [Body(b"", End.NOTHING, replies.TOO_BIG)])
            self.assertEqual(made.waiting, 0)

    def test_a_chunk_out_of_order_is_read_and_discarded(self) -> None:
        made = session(Stage.GREETED)
        self.assertEqual(events(made, b"BDAT 10 LAST\r\n"), [])
        self.assertEqual(events(made, b"QUIT\r\n"), [Body(b"", End.NOTHING)])
        self.assertEqual(events(made, b"QUITNOOP\r\n"), [Answer(replies.MAIL_FIRST), Command("NOOP", b"")])

    def test_a_bare_cr_or_lf_in_a_chunk_is_refused(self) -> None:
        for octets, refusal in {
            b"a\nb\r\n": replies.BARE_LF,
            b"a\rb\r\n": replies.BARE_CR,
            b"ab\r": replies.BARE_CR,
        }.items():
            made = session(Stage.RCPT)
            found = events(made, b"BDAT %d LAST\r\n%b" % (len(octets), octets))
            self.assertEqual(found[-1], Body(b"", End.MESSAGE, refusal))
