"""Header fields and bodies of strangers are decoded; what cannot be is shown as well as it goes."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.message.dates import parse_date
from emailsys.mail.message.fields import decode_words, parse_parameters, parse_value, without_comments
from emailsys.mail.message.ids import message_ids
from emailsys.mail.message.transfer_encoding import decode_transfer, split_base64


class EncodedWords(SynchronousTestCase):
    def test_words_are_decoded_and_blanks_between_them_vanish(self) -> None:
        """RFC 2047 §8."""
        self.assertEqual(decode_words("=?ISO-8859-1?Q?a?= b"), "a b")
        self.assertEqual(decode_words("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?="), "ab")
        self.assertEqual(decode_words("x =?ISO-8859-1?Q?a_b?= y"), "x a b y")
        self.assertEqual(decode_words("=?iso-8859-1*de?q?=FC?= =?utf-8?b?w7w=?="), "üü")

    def test_a_character_cut_in_two_is_whole_again(self) -> None:
        self.assertEqual(decode_words("=?utf-8?q?=C3?= =?utf-8?b?vA==?="), "ü")

    def test_text_that_is_no_encoded_word_is_unchanged(self) -> None:
        for text in ("plain", "=?utf-8?x?a?=", "=?", "=?utf-8?q?a", "=??q?a?="):
            self.assertEqual(decode_words(text), text)

    def test_broken_words_are_shown(self) -> None:
        self.assertEqual(decode_words("=?utf-8?b?w7w?="), "ü")
        self.assertEqual(decode_words("=?utf-8?b?QUJDR?="), "ABC")
        self.assertEqual(decode_words("=?nonsense?q?=FC?="), "ü")
        self.assertEqual(decode_words("=?utf-8?q?=FF?="), "\ufffd")


class Parameters(SynchronousTestCase):
    def test_values_are_read_with_and_without_quotes(self) -> None:
        self.assertEqual(
            parse_value('Text/Plain (c); a=1; B="x\\"y; z" ;a=2'), ("text/plain", {"a": "1", "b": 'x"y; z'})
        )
        self.assertEqual(parse_parameters('name="open'), {"name": "open"})

    def test_sections_and_charsets_are_joined(self) -> None:
        """RFC 2231 §4.1."""
        self.assertEqual(
            parse_parameters("title*1*=%2a%2a; title*0*=us-ascii'en'This%20is; title*2=\" it!\""),
            {"title": "This is** it!"},
        )
        self.assertEqual(parse_parameters("filename=a; filename*=utf-8''%C3%BC"), {"filename": "ü"})
        self.assertEqual(parse_parameters("f*0=a; f*1=b; f*x=c; f*=%zz"), {"f": "ab"})
        self.assertEqual(parse_parameters("f*=%C3%BC"), {"f": "ü"})
        self.assertEqual(parse_parameters("f*=nonsense''%C3%BC"), {"f": "ü"})

    def test_encoded_words_in_a_value_are_decoded_as_programs_write_them(self) -> None:
        self.assertEqual(parse_parameters('name="=?utf-8?q?=C3=BC?="'), {"name": "ü"})

    def test_comments_are_blanks_but_for_quoted_ones(self) -> None:
        self.assertEqual(without_comments('a(b(c)\\)d)e "(f)" \\( )g'), 'a  e "(f)" \\( )g')
        # A comment knows no quotes, and a backslash at the end stands for itself. What never ends is cut off.
        self.assertEqual(without_comments('a("b)c"d(e'), 'a c"d(e')
        self.assertEqual(without_comments('"a\\"(b" (c) d\\'), '"a\\"(b"   d\\')
        self.assertEqual(without_comments("a (b\\"), "a ")


class Dates(SynchronousTestCase):
    def test_dates_are_read_in_utc(self) -> None:
        noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
        self.assertEqual(parse_date("Mon, 23 Nov 2026 13:00:00 +0100 (CET)"), noon)
        self.assertEqual(parse_date("Mon, 23 Nov 2026 12:00:00 -0000"), noon)

    def test_the_usual_form_is_read_as_the_standard_library_reads_it(self) -> None:
        for text in (
            "Fri, 27 Feb 2026 23:59:59 -0330",
            "1 Jan 1970 00:30:00 +0100",
            "Xxx, 29 Feb 2028 01:02:03 +1400 (LINT)",
            "Sun, 01 Mar 2026 00:00:00 -0000",
        ):
            self.assertEqual(parse_date(text), parsedate_to_datetime(text.replace("-0000", "+0000")), text)
        self.assertIsNone(parse_date("Mon, 31 Feb 2026 10:00:00 +0100"))
        # Two digits of a year, as other programs pad them.
        self.assertEqual(parse_date("1 Jan 0026 10:00:00 +0000"), datetime(2026, 1, 1, 10, tzinfo=UTC))

    def test_days_of_other_languages_are_read(self) -> None:
        """ "mar." is Tuesday in French. Of numbers, only those are read that mean one day."""
        for text in (
            "Di, 3 März 2026 13:00:00 +0100",
            "mar. 3 mars 2026 13:00:00 +0100",
            "mar., 3 de marzo de 2026 13:00:00 +0100",
            "di 3 mrt 2026 13:00 +0100",
            "вт, 3 марта 2026 13:00:00 +0100",
            "03.03.2026 13:00:00 +0100",
            "2026/03/03 12:00:00",
            "2026年3月3日 12:00:00",
        ):
            self.assertEqual(parse_date(text), datetime(2026, 3, 3, 12, tzinfo=UTC), text)

    def test_a_malformed_date_is_none(self) -> None:
        for text in (
            "03/04/2026 12:00:00",
            "3 Foo 2026 12:00:00",
            "33.13.2026 12:00:00",
            "",
            "yesterday",
            "Mon, 99 Nov 2026 13:00:00 +0100",
            "1 Jan 2001 00:00:00 +9999999999",
            "\x00" * 300,
        ):
            self.assertIsNone(parse_date(text))

    def test_message_ids_are_each_once(self) -> None:
        self.assertEqual(message_ids("<a@x> junk <b@x>\r\n <a@x> <bad id> <"), ["a@x", "b@x"])


class Transfer(SynchronousTestCase):
    def test_base64_is_decoded_as_far_as_it_goes(self) -> None:
        for raw, decoded, words in (
            (b"QUJD\r\nREVG\r\n", b"ABCDEF", []),
            (b"QUI=", b"AB", []),
            (b"QUI", b"AB", ["cut short"]),
            (b"QUJDR", b"ABC", ["cut short"]),
            (b"Q!U*J D", b"ABC", ["2 octets"]),
            (b"QUI=QUI=", b"ABAB", ["continues"]),
            (b"", b"", []),
        ):
            octets, defects = decode_transfer(raw, "base64")
            self.assertEqual((octets, len(defects)), (decoded, len(words)))
            for word, defect in zip(words, defects, strict=True):
                self.assertIn(word, defect)

    def test_text_below_base64_is_split_off(self) -> None:
        """It became garbage if no padding and no empty line came before it, or if it began with one word."""
        line = base64.b64encode(b"A" * 57) + b"\r\n"
        footer = b"Regards\r\n_____________\r\nThe list of all lists\r\n"
        for encoded, octets in (
            (line * 3, b"A" * 171),
            (line * 3 + b"QUJD\r\n", b"A" * 171 + b"ABC"),
            (line * 3 + b"QUI=\r\n", b"A" * 171 + b"AB"),
            (line + b"\r\n" + line + b"QQ==\r\n", b"A" * 115),
            (b"QUI=\r\n", b"AB"),
        ):
            for between in (b"", b"\r\n"):
                decoded, defects = decode_transfer(encoded + between + footer, "base64")
                self.assertEqual((decoded, defects), (octets, ["text after the end of the base64"]))
                self.assertEqual(split_base64(encoded + between + footer)[1], footer.strip())
        self.assertEqual(split_base64(b"QUI=\nRegards\n"), (b"QUI=", b"Regards"))

    def test_damaged_base64_is_not_cut(self) -> None:
        """An empty line and a sign that base64 lacks ended an attachment."""
        line = base64.b64encode(b"A" * 57) + b"\r\n"
        for encoded, octets in (
            (line + b"\r\n!" + line * 2, b"A" * 171),
            (line + b"\r\n!\r\nQUJD\r\n", b"A" * 57 + b"ABC"),
            (line * 2 + b"QUI=\r\n" + b"QUJDREVG\r\n!QUJD\r\nQUJD\r\nQUJD\r\n", b"A" * 114 + b"ABABCDEF" + b"ABC" * 3),
            (line * 2 + b"QUJDR", b"A" * 114 + b"ABC"),
        ):
            self.assertEqual(decode_transfer(encoded, "base64")[0], octets)

    def test_quoted_printable_names_wrong_escapes(self) -> None:
        self.assertEqual(decode_transfer(b"a=3D=\r\nb= \n=", "quoted-printable"), (b"a=b", []))
        self.assertIn("2 malformed", decode_transfer(b"=zz =4", "quoted-printable")[1][0])

    def test_blanks_that_were_added_at_the_end_of_a_line_are_taken_off(self) -> None:
        """RFC 2045 §6.7 (3); a blank that is meant is written =20. A long run of blanks takes no time."""
        self.assertEqual(
            decode_transfer(b"a \t\r\nb=20 \r\nc = \t\r\n d\n e  ", "quoted-printable")[0], b"a\r\nb \r\nc  d\n e"
        )
        self.assertEqual(len(decode_transfer(b" " * 1_000_000 + b"x", "quoted-printable")[0]), 1_000_001)

    def test_uuencode_is_decoded(self) -> None:
        self.assertEqual(decode_transfer(b"begin 644 a\n#04)#\n`\nend\n", "x-uuencode"), (b"ABC", []))
        self.assertIn("begin", decode_transfer(b"x", "uuencode")[1][0])
        self.assertIn("end", decode_transfer(b"begin 644 a\n#04)#\n", "uuencode")[1][0])
        self.assertIn("malformed line", decode_transfer(b"begin 644 a\n#\x7f\x7f\xff\xff\n", "uuencode")[1][0])

    def test_an_unknown_encoding_changes_nothing(self) -> None:
        self.assertEqual(decode_transfer(b"x", "8bit"), (b"x", []))
        self.assertEqual(decode_transfer(b"x", "rot26")[0], b"x")
