"""Received, Return-Path and Delivered-To are written in valid form."""

from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.utils import parsedate_to_datetime

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.address import Address, parse
from emailsys.mail.envelope import Arrival, Client, LocalRoute, Recipient
from emailsys.mail.ip import address_literal
from emailsys.mail.trace_fields import date_time, delivery_prefix, received

MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
ARRIVAL = Arrival("Q1", None, MOMENT)


def recipient(text: str) -> Recipient:
    return Recipient(parse(text) if "@" in text else Address(text, ""), (LocalRoute(1),))


def field(client: Client, *recipients: str) -> str:
    return received("mx.example.test", client, ARRIVAL, [recipient(text) for text in recipients]).decode()


class Received(SynchronousTestCase):
    def test_received_names_client_protocol_and_date(self) -> None:
        client = Client("s", "192.0.2.7", "client.test", "ESMTPSA", "TLSv1.3 TLS_AES_256_GCM_SHA384", parse("a@b"))
        self.assertEqual(
            field(client, "bob@example.test"),
            "Received: from client.test ([192.0.2.7])\r\n"
            "\t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
            "\tby mx.example.test with ESMTPSA id Q1\r\n"
            "\tfor <bob@example.test>;\r\n"
            "\tTue, 3 Feb 2026 04:05:06 +0000\r\n",
        )

    def test_received_names_the_recipient_only_if_there_is_one(self) -> None:
        client = Client("s", "192.0.2.7", "client.test")
        self.assertNotIn("for <", field(client, "bob@example.test", "alice@example.test"))
        self.assertNotIn("for <", field(client, "postmaster"))
        self.assertNotIn("for <", field(client))

    def test_a_name_that_is_none_becomes_a_comment_without_harm(self) -> None:
        for helo, shown in {
            "a)b(c": "(helo=a?b?c)",
            "x\r\nBcc: all": "(helo=x??Bcc:?all)",
            "\x00\\": "(helo=??)",
            "-": "(helo=-)",
            "\u00fcber": "(helo=?ber)",
        }.items():
            line = field(Client("s", "192.0.2.7", helo)).split("\r\n")[0]
            self.assertEqual(line, f"Received: from [192.0.2.7] {shown}")

    def test_names_as_clients_have_them_stand_as_they_are(self) -> None:
        for helo in ("localhost", "my_host", "[192.0.2.9]", "[IPv6:::1]", "9.example"):
            self.assertIn(f"from {helo} ([192.0.2.7])\r\n", field(Client("s", "192.0.2.7", helo)))

    def test_without_a_greeting_the_address_stands_for_the_name(self) -> None:
        self.assertIn("from [192.0.2.7] ([192.0.2.7])\r\n", field(Client("s", "192.0.2.7")))
        self.assertIn("from [192.0.2.7] ([192.0.2.7])\r\n", field(Client("s", "192.0.2.7", "a" * 256)))

    def test_addresses_are_written_as_literals(self) -> None:
        self.assertEqual(address_literal("2001:db8::1"), "[IPv6:2001:db8::1]")
        self.assertEqual(address_literal("fe80::1%eth0"), "[IPv6:fe80::1]")
        self.assertEqual(address_literal("::ffff:192.0.2.1"), "[192.0.2.1]")
        self.assertEqual(address_literal(""), "[unknown]")

    def test_a_folded_received_field_is_one_field_to_a_parser(self) -> None:
        message = message_from_bytes(
            field(Client("s", "::1", "c"), "bob@example.test").encode() + b"Subject: x\r\n\r\n"
        )
        self.assertEqual(message.keys(), ["Received", "Subject"])


class Dates(SynchronousTestCase):
    def test_dates_are_those_of_rfc_5322(self) -> None:
        for moment in (MOMENT, MOMENT.astimezone(timezone(timedelta(hours=-3, minutes=-30)))):
            self.assertEqual(parsedate_to_datetime(date_time(moment)), MOMENT.replace(microsecond=0))

    def test_a_moment_without_zone_is_utc(self) -> None:
        self.assertEqual(date_time(MOMENT.replace(tzinfo=None)), "Tue, 3 Feb 2026 04:05:06 +0000")


class Prefix(SynchronousTestCase):
    def test_final_delivery_says_from_whom_and_to_whom(self) -> None:
        self.assertEqual(
            delivery_prefix(parse('"a b"@c'), parse("bob@example.test")),
            b'Return-Path: <"a b"@c>\r\nDelivered-To: bob@example.test\r\n',
        )
        self.assertEqual(
            delivery_prefix(None, parse("j\u00fcrgen@b")), "Return-Path: <>\r\nDelivered-To: j\u00fcrgen@b\r\n".encode()
        )
