"""Addresses, replies and header sections stay valid for any input."""

from __future__ import annotations

from email import message_from_bytes

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.address import AddressSyntaxError, parse
from emailsys.mail.envelope import Client
from emailsys.mail.message.headers import HeaderSection, fields_end, header_end
from emailsys.mail.reply import Reply
from emailsys.mail.trace_fields import delivery_prefix, received
from emailsys.wire.smtp.grammar import RcptArguments, parse_mail, parse_rcpt
from tests.unit.mail.test_trace_fields import ARRIVAL

LOCALS = st.text(st.characters(codec="utf-8"), max_size=20) | st.from_regex(
    r'"([ !#-\[\]-~]|\\[ -~])*"', fullmatch=True
)
DOMAINS = st.from_regex(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]+)*", fullmatch=True) | st.sampled_from(
    ("[192.0.2.1]", "[IPv6:::1]", "gr\u00fc\u00dfe.test", "\u6f22\u5b57.test")
)
ADDRESSES = st.tuples(LOCALS, DOMAINS).map("@".join) | st.text(max_size=30)
HEADS = st.lists(
    st.sampled_from(
        (
            b"Received: x",
            b"Subject: y",
            b"\ta",
            b"Authentication-Results: mx; a",
            b"Authentication-Results: (",
            b"no field",
            b"",
        )
    )
    | st.binary(max_size=20)
).map(lambda lines: b"".join(line + b"\r\n" for line in lines))


class Addresses(SynchronousTestCase):
    @given(ADDRESSES)
    def test_what_is_parsed_prints_as_the_same_address(self, text: str) -> None:
        try:
            address = parse(text)
        except AddressSyntaxError as error:
            self.assertTrue(str(error).isprintable())
            return
        self.assertEqual(parse(str(address)), address)
        self.assertEqual(parse(str(address)).key, address.key)
        self.assertTrue(all(ord(letter) >= 32 and ord(letter) != 127 for letter in str(address)))

    @given(ADDRESSES)
    def test_an_address_fits_into_a_path_and_into_fields(self, text: str) -> None:
        try:
            address = parse(text)
        except AddressSyntaxError:
            return
        self.assertEqual(parse_rcpt(f"TO:<{address}>".encode()), RcptArguments(address))
        found = parse_mail(f"FROM:<{address}> SMTPUTF8".encode())
        assert not isinstance(found, Reply)
        self.assertEqual(found.reverse_path, address)
        self.assertEqual(delivery_prefix(address, address).count(b"\r\n"), 2)

    @given(st.binary(max_size=80))
    def test_random_octets_are_read_or_refused(self, octets: bytes) -> None:
        for argument in (
            octets,
            b"FROM:" + octets,
            b"FROM:<" + octets + b">",
            b"FROM:<> " + octets,
            b"FROM:<> ENVID=" + octets,
        ):
            parse_mail(argument)
        for argument in (octets, b"TO:<" + octets, b"TO:<" + octets + b">", b"TO:<a@b> ORCPT=" + octets):
            parse_rcpt(argument)


class Fields(SynchronousTestCase):
    @given(st.text(max_size=300), st.text(max_size=50), st.text(max_size=50))
    def test_a_received_field_is_one_field_whatever_the_peer_says(self, helo: str, ip: str, tls: str) -> None:
        field = received("mx.example.test", Client("s", ip, helo, "ESMTPS", tls), ARRIVAL, [])
        self.assertTrue(all(octet >= 32 or octet in b"\r\n\t" for octet in field))
        self.assertEqual(field.replace(b"\r\n\t", b"").count(b"\r\n"), 1)
        self.assertEqual(field.count(b"\n"), field.count(b"\r\n"))
        self.assertEqual(field.count(b"\r"), field.count(b"\r\n"))
        self.assertEqual(message_from_bytes(field + b"\r\n").keys(), ["Received"])

    @given(st.integers(200, 599), st.sampled_from(("", "5.7.1")), st.text(max_size=1200))
    def test_a_reply_is_lines_of_printable_ascii(self, code: int, enhanced: str, text: str) -> None:
        lines = Reply(code, enhanced, text).encode().split(b"\r\n")
        self.assertEqual(lines.pop(), b"")
        for line in lines:
            self.assertLess(len(line), 511)
            self.assertTrue(line.decode("ascii").isprintable())
        self.assertTrue(all(line[3:4] == b"-" for line in lines[:-1]))
        self.assertEqual(lines[-1][3:4], b" ")


class Heads(SynchronousTestCase):
    @given(HEADS, st.binary(max_size=40))
    def test_the_end_of_the_head_does_not_depend_on_what_has_come(self, head: bytes, rest: bytes) -> None:
        octets = head + rest
        found = None
        for end in range(len(octets) + 1):
            found = header_end(octets[:end], max(end - 1, 0))
            if found is not None:
                break
        self.assertEqual(found, header_end(octets))
        if found is not None:
            self.assertEqual(octets[found : found + 2], b"\r\n")
            self.assertNotIn(b"\r\n\r\n", octets[:found])

    @given(HEADS, st.binary(max_size=40))
    def test_fields_end_after_a_whole_line(self, head: bytes, rest: bytes) -> None:
        octets = head + rest
        end = fields_end(octets)
        self.assertTrue(end in (0, len(octets)) or octets[:end].endswith(b"\r\n"))

    @given(HEADS)
    def test_only_whole_fields_are_removed(self, head: bytes) -> None:
        kept = HeaderSection(head).without_claims_of("mx")
        self.assertLessEqual(len(kept), len(head))
        if b"uthentication" not in head:
            self.assertEqual(kept, head)
        self.assertEqual(HeaderSection(kept).without_claims_of("mx"), kept)

    @given(HEADS)
    def test_any_head_can_be_counted_and_completed(self, head: bytes) -> None:
        self.assertLessEqual(HeaderSection(head).count_received(), head.lower().count(b"received"))
        added = HeaderSection(head).missing_fields("Thu, 1 Jan 2026 00:00:00 +0000", "1@mx")
        self.assertEqual(HeaderSection(added + head).missing_fields("x", "y"), b"")
