"""Text of editors and terminals whose encoding is not UTF-8."""

from __future__ import annotations

import locale

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.base.local_text import local_text


class LocalTextTests(SynchronousTestCase):
    def test_the_encoding_of_the_locale_counts_where_the_text_is_not_utf_8(self) -> None:
        """Also in the UTF-8 mode of Python. An encoding that is unknown or does not fit leaves Latin-1."""
        for encoding, octets, text in (
            ("koi8-r", "Привет\r\n".encode("koi8-r"), "Привет\r\n"),
            ("koi8-r", "Привет, Grüße €".encode(), "Привет, Grüße €"),
            ("koi8-r", b"\xef\xbb\xbfx", "x"),
            ("utf-8", "Grüße".encode("latin-1"), "Grüße"),
            ("ascii", "Grüße".encode("latin-1"), "Grüße"),
            ("no-such-encoding", "Grüße".encode("latin-1"), "Grüße"),
        ):
            self.patch(locale, "getencoding", lambda encoding=encoding: encoding)
            self.assertEqual(local_text(octets), text, encoding)
