"""Surrogates of internationalized messages (RFC 6858)."""

from __future__ import annotations

import email
import email.policy
import time
from email.message import EmailMessage

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.message.fields import decode_words
from emailsys.mail.message.headers import header_end
from emailsys.mail.message.surrogate import Surrogate

MESSAGE = """Received: from a by b for <jøran@blåbær.example>; Mon, 01 Jan 2026 12:00:00 +0000
Message-ID: <1@example.org>
From: Jøran Øygård <jøran@blåbær.example>
To: Anna <anna@grün.example>, bob@example.org,
 "Ö, P" <oe@example.org>
Subject: Grüße
 an alle, und zwar so lange, dass ein Wort nicht reicht: 你好你好你好你好你好你好
X-Other: grün
Content-Type: multipart/mixed; boundary="=_b"; x="ü;b"

before ü
--=_b
Content-Type: text/plain; charset=utf-8; name="grün.txt"
Content-Disposition: attachment; filename="grün.txt"

hällo
.dot
--
signature
--=_b
Content-Type: message/global

Subject: ünner
From: ø@x.example

text ü
--=_b
no header
--=_b--
after ü
""".replace("\n", "\r\n").encode()

# What header sections consist of, whole and broken.
PIECES = (
    *(b"Subject:", b"From: ", b"To: ", b"Content-Type: ", b"multipart/mixed; boundary=b", b"message/global", b"X: "),
    *("ü".encode(), "jøran@blåbær.example".encode(), b"\xff", b"a", b" ", b"\t", b";", b'"', b"<", b",", b"\r", b"\n"),
    *(b"\r\n", b"\r\n", b"\r\n ", b"--b\r\n", b"\0", b":", b"(", b"="),
)


def surrogate_of(message: bytes, *cuts: int) -> bytes:
    """Downgrade a message that is cut at these positions."""
    surrogate, out, start = Surrogate(), b"", 0
    for end in sorted({min(cut, len(message)) for cut in cuts}):
        out += surrogate.take(message[start:end])
        start = end
    return out + surrogate.take(message[start:], is_last=True)


class SurrogateTests(SynchronousTestCase):
    """What an old program gets."""

    def setUp(self) -> None:
        self.octets = surrogate_of(MESSAGE)
        parsed = email.message_from_bytes(self.octets, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        self.read = parsed

    def test_the_header_section_is_ascii_and_can_be_read(self) -> None:
        head = self.octets.partition(b"\r\n\r\n")[0]
        self.assertTrue(head.isascii())
        self.assertLess(max(map(len, head.split(b"\r\n"))), 79)
        self.assertEqual(
            self.read["subject"], "Grüße an alle, und zwar so lange, dass ein Wort nicht reicht: " + "你好" * 6
        )
        self.assertEqual(self.read["message-id"], "<1@example.org>")

    def test_an_address_that_ascii_cannot_express_is_shown_and_cannot_be_used(self) -> None:
        """RFC 6858 §2.1."""
        (sender,) = self.read["from"].addresses
        self.assertEqual(sender.display_name, "Jøran Øygård jøran@blåbær.example")
        self.assertEqual(sender.addr_spec, "invalid@internationalized-address.invalid")

    def test_other_addresses_stay_usable(self) -> None:
        """A domain has a form in ASCII."""
        self.assertEqual(
            [(one.display_name, one.addr_spec) for one in self.read["to"].addresses],
            [("Anna", "anna@xn--grn-ioa.example"), ("", "bob@example.org"), ("Ö, P", "oe@example.org")],
        )

    def test_other_fields_and_parameters_are_removed(self) -> None:
        """RFC 6858 §2.2, §2.4."""
        self.assertEqual(self.read.keys(), ["Message-ID", "From", "To", "Subject", "Content-Type"])
        self.assertEqual(self.read["content-type"].params, {"boundary": "=_b"})
        text = next(self.read.iter_parts())
        self.assertEqual(dict(text["content-type"].params), {"charset": "utf-8"})
        self.assertEqual(text["content-disposition"], "attachment")

    def test_texts_and_the_messages_in_it_stay(self) -> None:
        text, embedded, bare = self.read.iter_parts()
        self.assertEqual(text.get_content(), "hällo\r\n.dot\r\n--\r\nsignature")
        self.assertEqual(embedded.get_content_type(), "message/rfc822")
        self.assertEqual(embedded.get_content()["subject"], "ünner")
        self.assertIn("text ü".encode(), self.octets)
        self.assertIn(b"no header", bare.as_bytes())
        self.assertTrue(self.octets.endswith("--=_b--\r\nafter ü\r\n".encode()))

    @settings(deadline=None, suppress_health_check=(HealthCheck.too_slow,))
    @given(st.lists(st.integers(0, len(MESSAGE)), max_size=40))
    def test_the_result_does_not_depend_on_how_the_message_was_cut(self, cuts: list[int]) -> None:
        self.assertEqual(surrogate_of(MESSAGE, *cuts), self.octets)

    @settings(deadline=None, suppress_health_check=(HealthCheck.too_slow,))
    @given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=10))
    def test_any_octets_are_taken(self, octets: bytes, cuts: list[int]) -> None:
        """The body of a message without parts stays as it is."""
        surrogate_of(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + octets, *cuts)
        message = b"Subject: x\r\n\r\n" + octets
        self.assertEqual(surrogate_of(message, *cuts), message)

    def test_fields_below_a_broken_line_are_ascii(self) -> None:
        """Clients look for fields up to the empty line, and so did the server that took the message."""
        message = "From: a@x.example\r\nbröken\r\nSubject: Grüße\r\n no\r\nlast\r\n\r\ntext ü\r\n".encode()
        head, _, text = surrogate_of(message).partition(b"\r\n\r\n")
        begin, broken, end = head.split(b"\r\n", 2)
        self.assertEqual([begin, decode_words(broken.decode("ascii"))], [b"From: a@x.example", "bröken"])
        subject = email.message_from_bytes(end, policy=email.policy.default)["subject"]
        self.assertEqual((subject, end[-6:]), ("Grüße no", b"\r\nlast"))
        self.assertEqual(text, "text ü\r\n".encode())

    def test_fields_of_a_part_below_a_broken_line_are_ascii(self) -> None:
        message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nbröken\r\n"
        field = 'Content-Type: text/plain; name="ü"\r\n\r\ntext ü\r\n'
        octets = surrogate_of(f"{message}{field}--b--\r\n".encode())
        self.assertTrue(octets.partition(b"text ")[0].isascii())
        self.assertTrue(octets.endswith("text ü\r\n--b--\r\n".encode()))

    def test_the_text_of_a_part_without_a_header_section_stays(self) -> None:
        message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nGrüße\r\nTo: all ü\r\n\r\nx\r\n".encode()
        self.assertEqual(surrogate_of(message), message)

    @settings(deadline=None, suppress_health_check=(HealthCheck.too_slow,))
    @given(
        st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join) | st.binary(max_size=100),
        st.lists(st.integers(0, 300), max_size=10),
    )
    def test_the_header_section_of_any_octets_is_ascii(self, octets: bytes, cuts: list[int]) -> None:
        message = octets + "\r\n\r\nü\r\n".encode()
        changed = surrogate_of(message, *cuts)
        self.assertTrue(changed[: header_end(changed)].isascii())
        self.assertTrue(changed.endswith("ü\r\n".encode()))
        self.assertEqual(changed, surrogate_of(message))

    def test_an_encoded_message_in_it_stays_as_it_is(self) -> None:
        """Its header section cannot be seen."""
        fields = b"Content-Type: message/global\r\nContent-Transfer-Encoding: base64\r\n"
        message = fields + b"\r\nU3ViamVjdDogeA==\r\n"
        self.assertEqual(surrogate_of(message), message)

    def test_no_message_takes_long(self) -> None:
        """Many parts, many lines that could be boundaries, and many addresses."""
        head = "Subject: ü\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".encode()
        for message in (
            head + b"--b\r\n\r\nx\r\n" * 100_000,
            head + b"--x\r\n" * 200_000,
            ("To: " + "ü, " * 80_000).encode() + b"\r\n\r\nx\r\n",
            "".join(f"To: ü{number}@ü{number}.test\r\n" for number in range(8000)).encode() + b"\r\nx\r\n",
        ):
            # CPU time: the machine may be busy.
            began = time.thread_time()
            surrogate_of(message, *range(0, len(message), 256 * 1024))
            self.assertLess(time.thread_time() - began, 0.4 if message.startswith(b"To") else 1.0)
