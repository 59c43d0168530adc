"""Charsets come from an allow-list; the name that a stranger wrote never reaches Python's registry of codecs."""

from __future__ import annotations

import ast
import codecs
from pathlib import Path
from typing import Final

from twisted.mail import imap4, smtp
from twisted.trial.unittest import SynchronousTestCase
from webencodings.labels import LABELS

import emailsys
from emailsys.mail.message.charsets import decode_charset, is_charset
from emailsys.mail.message.fields import decode_words, parse_parameters
from emailsys.mail.message.mime import parse

# Codecs that a library of the product adds to the registry, and codecs of Python that are no charsets.
NOT_CHARSETS: Final = (
    *("xtext", "imap4-utf-7", "punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined", "charmap"),
    *("zlib", "rot13", "hex", "base64", "bz2", "quopri", "uu", "mbcs", "oem", "palmos", "a" * 50, "../x", "x\0y", ""),
)


class Names(SynchronousTestCase):
    def test_codecs_that_are_no_charsets_are_unknown(self) -> None:
        """twisted.mail registers `xtext` with a tuple of functions, and each use of it raised AttributeError."""
        self.assertTrue(imap4.__name__ and smtp.__name__)
        for name in NOT_CHARSETS:
            self.assertFalse(is_charset(name), name)
            decode_charset(b"q", name)
        self.assertEqual(decode_words("=?xtext?q?a?="), "a")
        self.assertEqual(decode_words("=?imap4-utf-7?b?JkFBLQ==?="), "&AA-")
        self.assertEqual(parse_parameters("name*=xtext''a"), {"name": "a"})

    def test_no_name_of_a_stranger_reaches_the_registry(self) -> None:
        asked: list[str] = []

        def search(name: str) -> None:
            asked.append(name)

        codecs.register(search)
        self.addCleanup(codecs.unregister, search)
        for number in range(50):
            decode_charset(b"x\xff", f"stranger-{number}")
            decode_words(f"=?stranger-{number}?q?x?=")
            parse_parameters(f"name*=stranger-{number}''x")
        self.assertEqual(asked, [])

    def test_half_a_surrogate_pair_is_no_character(self) -> None:
        """Python's codec for UTF-7 returns it, and nothing could encode or show the text."""
        self.assertEqual(decode_charset(b"a +2AA- b", "utf-7"), ("a \ufffd b", ["octets that are not utf-7"]))
        self.assertEqual(decode_words("=?utf-7?q?+3AA-?="), "\ufffd")
        self.assertEqual(parse_parameters("name*=utf-7''%2B2AA-"), {"name": "\ufffd"})
        self.assertEqual(decode_charset(b"+2D3cAA-", "utf-7"), ("\U0001f400", []))

    def test_no_other_module_decodes_by_a_name_that_it_was_given(self) -> None:
        """`octets.decode(name)` looks the name up in the registry; so do `codecs` and `email.header`."""
        found = []
        house = Path(emailsys.__file__).parent
        rooms = [house / room for room in ("mail", "client", "delivery", "cli/mail", "web", "wiretap")]
        for path in (one for room in rooms for one in room.rglob("*.py")):
            if path.name == "charsets.py":
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                match node:
                    case ast.Call(func=ast.Attribute(attr="decode"), args=[ast.Constant(), *_]):
                        continue
                    case ast.Call(func=ast.Attribute(attr="decode"), args=[_, *_]):
                        found.append(f"{path.name}:{node.lineno}")
                    case ast.ImportFrom(module="email.header", names=names) if {"decode_header", "make_header"} & {
                        one.name for one in names
                    }:
                        found.append(f"{path.name}:{node.lineno}")
                    case ast.Call(func=ast.Attribute(value=ast.Name(id="codecs"), attr="lookup" | "decode")):
                        found.append(f"{path.name}:{node.lineno}")
        self.assertEqual(found, [])

    def test_every_label_of_the_web_that_is_an_encoding_is_known(self) -> None:
        unknown = {name for label, name in LABELS.items() if not is_charset(label)}
        # The first means "show nothing", the second is no encoding of text.
        self.assertLessEqual(unknown, {"replacement", "x-user-defined"})

    def test_names_that_only_mail_has_are_known(self) -> None:
        for name, octets, text in (
            ("ISO-8859-8-I", b"\xf9\xec", "של"),
            ("windows-874", b"\xa1", "ก"),
            ("Shift_JIS", b"\x82\xa0", "あ"),
            ("cp437", b"\x81", "ü"),
            ("UTF-7", b"+APw-", "ü"),
            ("unicode-1-1-utf-7", b"+APw-", "ü"),
            ("UTF_8", b"\xc3\xbc", "ü"),
            ("HZ-GB-2312", b"~{VPND~}", "中文"),
            ("iso-2022-kr", b"\x1b$)C\x0e0!\x0f", "가"),
            ("x-mac-ce", b"\x8d", "ć"),
            ("ANSI_X3.4-1968", b"a", "a"),
        ):
            self.assertEqual(decode_charset(octets, name), (text, []), name)


class Decoding(SynchronousTestCase):
    def test_octets_are_decoded_or_guessed(self) -> None:
        self.assertEqual(decode_charset("ü".encode(), "utf-8"), ("ü", []))
        self.assertEqual(decode_charset(b"x", ""), ("x", []))
        self.assertEqual(decode_charset(b"\xfc", "us-ascii")[0], "ü")
        self.assertEqual(decode_charset("ü".encode(), "klingon")[0], "ü")
        self.assertEqual(decode_charset(b"\xff", "utf-8"), ("\ufffd", ["octets that are not utf-8"]))

    def test_a_subset_is_read_as_the_superset_that_mail_means(self) -> None:
        """The WHATWG table: text labelled with the name on the left is often text of the larger charset."""
        for charset, octets, text in (
            ("gb2312", "朱镕基".encode("gbk"), "朱镕基"),
            ("gbk", "𠮷".encode("gb18030"), "𠮷"),
            ("ks_c_5601-1987", "똠방각하".encode("cp949"), "똠방각하"),
            ("Shift_JIS", "①".encode("cp932"), "①"),
            ("iso-8859-1", b"\x93so\x94", "“so”"),
            ("big5", b"\xf9\xd6", "碁"),
            ("big5", "€".encode("cp950"), "€"),
            ("big5", "啫喱".encode("big5hkscs"), "啫喱"),
        ):
            self.assertEqual(decode_charset(octets, charset), (text, []), charset)

    def test_japanese_mail_has_the_characters_of_vendors(self) -> None:
        """Row 13 of NEC, half-width kana and the extensions of IBM, in both encodings; Python's codecs have none."""
        for text in ("①㈱Ⅱ", "髙橋", "\uff5e\uff0d\u2225", "会議"):
            rows = b"".join(_jis(character) for character in text)
            self.assertEqual(decode_charset(b"\x1b$B" + rows + b"\x1b(B!", "ISO-2022-JP"), (f"{text}!", []))
            self.assertEqual(decode_charset(bytes(one | 0x80 for one in rows), "EUC-JP"), (text, []))
        for octets in (b"\x1b(I6E6\x1b(B", b"\xb6\xc5\xb6", b"\x0e6E6\x0f"):
            self.assertEqual(decode_charset(octets, "iso-2022-jp"), ("ｶﾅｶ", []), octets)
        self.assertEqual(decode_charset(b"\x8e\xb6\x8f\xb0\xa1", "euc-jp"), ("ｶ丂", []))
        self.assertEqual(decode_charset(b"\x1b(J\\~\x1b$(D0!", "cp50221"), ("¥‾丂", []))

    def test_damage_in_japanese_mail_ends_with_its_line(self) -> None:
        """RFC 1468: each line begins in ASCII."""
        self.assertEqual(decode_charset(b"\x1b$B$\r\nabc", "iso-2022-jp")[0], "\ufffd\r\nabc")
        self.assertEqual(decode_charset(b'\x1b$B$"\r\nabc\x1b', "iso-2022-jp")[0], "あ\r\nabc\ufffd")
        self.assertEqual(decode_charset(b"\x8e\xff\xa4\xa2\x80", "euc-jp")[0], "\ufffd\ufffdあ\ufffd")

    def test_a_charset_is_guessed_where_the_text_stops_being_ascii(self) -> None:
        """The guess read the first 65,536 octets. If these were ASCII, `parse` raised ValueError."""
        for ascii_octets in (65_535, 65_536, 200_000):
            text = b"a" * ascii_octets + b" caf\xe9"
            for charset in ("", "us-ascii", "klingon"):
                self.assertTrue(decode_charset(text, charset)[0].endswith("a café"), (ascii_octets, charset))
        self.assertTrue(parse(b"Subject: " + b"a" * 70_000 + b" caf\xe9\n\n").text_of("subject").endswith("a café"))

    def test_short_western_text_is_not_taken_for_another_charset(self) -> None:
        """Signs became half-width kana of Shift_JIS, and capitals became letters of KOI8-R."""
        for text in (
            *(
                "£5 only",
                "« Bonjour »",
                "§ 5 Abs. 2",
                "½ price",
                "20°",
                "3 \xd7 4 ÷ 2",
                "100 € \u2013 “x”",
                "© 2024 Foo®, all",
            ),
            *(
                "À vendre",
                "ÅÄÖ",
                "Ö",
                "É",
                "Æ",
                "Ø",
                "ß",
                "ÁÉÍÓÚ ÑÑ",
                "À bientôt",
                "à é à é",
                "\u201aWort\u2018",
                "ÄÖÜß",
            ),
        ):
            self.assertEqual(decode_charset(text.encode("cp1252"), "")[0], text)

    def test_other_charsets_are_still_guessed(self) -> None:
        for charset, text in (
            ("koi8-r", "Добрый день, посылаю вам письмо"),
            ("cp1251", "Добрый день, посылаю вам счёт за октябрь"),
            ("gbk", "你好"),
            ("gbk", "测试邮件"),
            ("cp932", "会議の"),
            ("euc_jp", "こんにちは"),
            ("cp949", "안녕하세요 여러분"),
        ):
            self.assertEqual(decode_charset(text.encode(charset), "")[0], text, charset)

    def test_utf_8_with_a_bad_octet_stays_utf_8(self) -> None:
        """One bad octet, or a character that is cut at the end, made all other letters wrong."""
        for octets, charset, text in (
            ("Größe, Straße".encode() + b"\xc3", "us-ascii", "Größe, Straße\ufffd"),
            ("Größe, Straße, Übung, Äpfel, Öl, für, über".encode() + b"\xe4, x", "", None),
            ("😀 😀".encode() + b"\xff", "utf-8", "😀 😀\ufffd"),
            ("1\xa0000\xa0000".encode() + b"\xe9!", "utf-8", "1\xa0000\xa0000\ufffd!"),
        ):
            got, defects = decode_charset(octets, charset)
            self.assertEqual(got, text or octets.decode("utf-8", "replace"))
            self.assertTrue(defects)

    def test_utf_8_under_the_name_of_another_charset_is_read(self) -> None:
        """Each octet was wrong, and the text was shown as rare characters."""
        for text, charset in (
            ("今天下午三点开会请准时参加。", "gb2312"),
            ("明日の会議は三時からです。", "shift_jis"),
            ("明日の会議は三時からです。", "euc-jp"),
            ("내일 회의는 세 시입니다.", "euc-kr"),
        ):
            self.assertEqual(
                decode_charset(text.encode(), charset), (text, [f"octets that are not {charset}", "read as utf-8"])
            )
            self.assertEqual(decode_charset(text.encode(charset), charset), (text, []))

    def test_signs_around_the_name_of_a_charset_do_not_matter(self) -> None:
        for name in ("'koi8-r'", "\u201ckoi8-r\u201d", '"charset=koi8-r"', "charset=koi8-r", "`KOI8-R`"):
            octets = f"Content-Type: text/plain; charset={name}\r\n\r\n".encode() + "Привет".encode("koi8-r")
            self.assertEqual(parse(octets).text(), ("Привет", []), name)


def _jis(character: str) -> bytes:
    """The two octets of JIS X 0208 of a character, computed from CP932 in the other direction."""
    lead, trail = character.encode("cp932")
    # IBM's own rows have a second place among the rows that NEC selected, which ISO-2022-JP can reach.
    if lead >= 0xFA:
        again = {"髙": (0xEE, 0xE0)}
        lead, trail = again[character]
    row = ((lead - 0x81 if lead < 0xA0 else lead - 0xC1) << 1) + (trail >= 0x9F)
    cell = trail - 0x9F if trail >= 0x9F else trail - 0x40 - (trail > 0x7F)
    return bytes((row + 0x21, cell + 0x21))
