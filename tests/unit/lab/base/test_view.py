"""The attacker's view: octets become events."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.lab.base.view import MAX_BODY_LINES, MAX_TEXT, View, printable
from emailsys.wiretap.conversation import Conversation, Direction, Kind, Role


class ViewTests(SynchronousTestCase):
    """One connection, seen from between client and server."""

    def setUp(self) -> None:
        self.view = View("smtp", Role.SERVER, "127.0.0.1:1")

    def events(self, kind: Kind) -> list[str]:
        return [event.text for event in self.view.conversation().events if event.kind is kind]

    def test_lines_are_whole_however_the_stream_is_split(self) -> None:
        """A segment of TCP is no line."""
        for octet in b"EHLO me\r\nNOOP\r\n":
            self.view.from_client(bytes([octet]))
        self.view.from_server(b"250-a\r\n250 b\r\n")
        self.assertEqual(self.events(Kind.COMMAND), ["EHLO me", "NOOP"])
        self.assertEqual(self.events(Kind.REPLY), ["250-a", "250 b"])
        self.assertEqual(self.view.conversation().octets(Direction.IN), len(b"EHLO me\r\nNOOP\r\n"))

    def test_lines_after_354_are_the_message_up_to_the_dot(self) -> None:
        """The next line is a command again."""
        self.view.from_server(b"354 go\r\n")
        self.view.from_client(b"Subject: x\r\n.\r\nQUIT\r\n")
        self.assertEqual(self.events(Kind.BODY), ["Subject: x", "."])
        self.assertEqual(self.events(Kind.COMMAND), ["QUIT"])

    def test_tls_is_records_and_no_lines(self) -> None:
        """CRLF inside a record ends nothing."""
        record = b"\x16\x03\x01\x00\x06\x0e\x00\x00\x02\r\n"
        self.view.from_client(b"STARTTLS\r\n" + record[:7])
        self.view.from_client(record[7:] + b"\x17\x03\x03\x00\x03a\r\n")
        self.assertEqual(self.events(Kind.COMMAND), ["STARTTLS"])
        handshake, data = self.events(Kind.TLS)
        self.assertEqual(handshake, "ServerHelloDone")
        self.assertEqual(data, "encrypted record, 3 octets: 61 0d 0a ...")

    def test_a_long_message_is_counted(self) -> None:
        """The octets are all there, the lines are not."""
        self.view.from_server(b"354 go\r\n")
        self.view.from_client(b"x\r\n" * (MAX_BODY_LINES + 100) + b"a\nb\r\n.\r\n")
        body = self.events(Kind.BODY)
        self.assertEqual(body[MAX_BODY_LINES:], ["(100 more lines)", "a\\nb", "."])
        octets = sum(event.octets for event in self.view.conversation().events if event.kind is Kind.BODY)
        self.assertEqual(octets, 3 * (MAX_BODY_LINES + 100) + 8)

    def test_a_bare_line_feed_is_marked(self) -> None:
        """Two programs may read such a line differently."""
        self.view.from_client(b"a\n.\nb\r\n")
        event = self.view.conversation().events[1]
        self.assertEqual((event.text, event.details), ("a\\n.\\nb", {"tampered": "has a bare LF or CR"}))

    def test_control_characters_are_escaped_and_long_lines_cut(self) -> None:
        """A terminal or a browser never gets an octet of an attacker as it is."""
        self.view.from_client(b"\x1b[2J\xff\n\t" + b"a" * 10_000 + b"\r\n")
        (text,) = self.events(Kind.COMMAND)
        self.assertTrue(text.startswith("\\x1b[2J\\xff\\n\\t"))
        self.assertEqual(len(text), MAX_TEXT)
        self.assertEqual(printable(bytes(range(256))).isprintable(), True)

    def test_the_rest_of_a_line_is_kept_at_the_end(self) -> None:
        """What was cut off by the end of the connection was seen, too."""
        self.view.from_client(b"PASS sec")
        self.view.close()
        self.view.close()
        self.assertEqual(self.events(Kind.COMMAND), ["PASS sec"])
        self.assertEqual(self.events(Kind.CLOSED), ["connection closed"])
        self.assertTrue(self.view.saw(b"PASS sec"))

    def test_an_attacker_that_is_the_client_sends_out(self) -> None:
        """Directions are as the attacker's host sees them."""
        view = View("pop3", Role.CLIENT, "127.0.0.1:1")
        view.from_client(b"STAT\r\n")
        view.from_server(b"+OK 0 0\r\n")
        _, command, reply = view.conversation().events
        self.assertEqual((command.kind, command.direction), (Kind.COMMAND, Direction.OUT))
        self.assertEqual((reply.kind, reply.direction), (Kind.REPLY, Direction.IN))

    def test_a_conversation_survives_json(self) -> None:
        """What is exported can be read again."""
        self.view.from_client(b"NOOP\r\n", tampered="added", was="")
        recorded = self.view.conversation()
        again = Conversation.from_json(recorded.to_json())
        self.assertEqual([event.text for event in again.events], [event.text for event in recorded.events])
        self.assertEqual(again.events[1].details, {"tampered": "added", "was": ""})
