"""Any name of a charset and any octets give text, and no octets of any charset take long."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.message.charsets import _BY_NAME, decode_charset
from emailsys.mail.message.fields import decode_words

NAMES = st.sampled_from(sorted(_BY_NAME))
# What switches states in the charsets that have states, and half of a character.
OCTETS = st.lists(
    st.sampled_from(
        (
            b"\x1b$B",
            b"\x1b(B",
            b"\x1b(I",
            b"\x1b$(D",
            b"\x0e",
            b"\x0f",
            b"\x1b",
            b"~{",
            b"~}",
            b"+",
            b"-",
            b"+2D",
            b"\n",
        )
    )
    | st.binary(max_size=6),
    max_size=12,
).map(b"".join)


class AnyCharset(SynchronousTestCase):
    @settings(deadline=None, max_examples=500)
    @given(OCTETS, NAMES | st.text(max_size=50))
    @example(b"q", "xtext")
    @example(b"+2AA-", "utf-7")
    def test_any_octets_are_some_text(self, octets: bytes, charset: str) -> None:
        text, defects = decode_charset(octets, charset)
        text.encode("utf-8")
        # What is replaced is told.
        self.assertTrue(defects or "\ufffd" not in text or "\ufffd".encode("utf-8") in octets or b"\xfd" in octets)

    @given(st.text(max_size=60), st.text(max_size=30), st.sampled_from("bBqQ"))
    def test_any_encoded_word_is_some_text(self, charset: str, text: str, encoding: str) -> None:
        decode_words(f"=?{charset}?{encoding}?{text}?=")

    @given(st.text(st.characters(codec="cp932", min_codepoint=0x80), min_size=1))
    def test_what_python_encodes_as_japanese_is_read(self, text: str) -> None:
        for codec in ("iso2022_jp", "euc_jp"):
            try:
                octets = text.encode(codec)
            except UnicodeEncodeError:
                continue
            # The tables of Python and of the web have other characters for seven signs, such as the wave dash.
            same = decode_charset(octets, codec.replace("_", "-"))[0].translate(SAME)
            self.assertEqual(same, text.translate(SAME))


SAME = str.maketrans("\uff5e\u2225\uff0d\uffe0\uffe1\uffe2\u2015", "\u301c\u2016\u2212\u00a2\u00a3\u00ac\u2014")
