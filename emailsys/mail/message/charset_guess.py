"""Charsets that a message does not name: the prescan of HTML, and the guess from the octets alone."""

from __future__ import annotations

import re
from typing import Final

# HTML standard §13.2.3.2: octets of a document in which its encoding is looked for.
_PRESCANNED: Final = 1024
# Octets from which a charset is guessed.
_SAMPLE: Final = 65_536
# Octets of the sample that come before the first octet above 0x7F.
_BEFORE: Final = 1_000
ASCII: Final = bytes(range(0x80))
_HIGH: Final = re.compile(rb"[\x80-\xff]+")
# One or two letters with accents in a word of ASCII letters.
_ACCENTED: Final = re.compile(
    rb"(?:(?<=[A-Za-z])[\x80-\xff]{1,2}(?![\x80-\xff])|(?<![\x80-\xff])[\x80-\xff]{1,2}(?=[A-Za-z]))"
)
_COMMENT: Final = re.compile(rb"<!--.*?-->", re.S)
_META: Final = re.compile(rb"<meta[\s/]((?:[^>\"']|\"[^\"]*\"|'[^']*')*)>", re.I)
_ATTRIBUTE: Final = re.compile(rb"""([^\s=/>"']+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+)))?""")
_CONTENT_CHARSET: Final = re.compile(rb"""charset\s*=\s*["']?([^\s"';]+)""", re.I)
_XML: Final = re.compile(rb"""<\?xml\s[^>]*?encoding\s*=\s*["']([^\s"'>]+)["']""")
# Charsets that charset-normalizer may choose from: those that mail without a label is written in.
_CANDIDATES: Final = {
    "gb18030": "gb18030",
    "big5": "big5",
    "cp949": "euc-kr",
    "cp932": "shift_jis",
    "euc_jp": "euc-jp",
    **{f"cp{page}": f"windows-{page}" for page in range(1250, 1257)},
    "koi8_r": "koi8-r",
    "iso8859_2": "iso-8859-2",
    "tis_620": "windows-874",
}
_WESTERN: Final = "windows-1252"
# Octets above 0x7F from which another charset than the Western one is guessed, and the length of their longest run.
# Fewer are single letters with accents, quotation marks and other signs.
_EVIDENCE: Final = 5
_RUN: Final = 3
# Letters from which KOI8-R is guessed, since fewer could be one word of Western capitals.
_KOI8_LETTERS: Final = 10
# Pairs of octets above 0xA0 from which a two-octet charset is taken, since fewer could be two letters of one word; and
# those that are Korean if all lie in its rows, where about half of the Chinese ones lie, too.
_PAIRS: Final = 2
_KOREAN_PAIRS: Final = 5


def html_charset(octets: bytes) -> str:
    """Return the charset that an HTML document names in itself, "" if it names none.

    This is the prescan of the HTML standard (§13.2.3.2): a byte order mark, `<meta charset>`, or
    `<meta http-equiv=Content-Type content=...>`. The XML declaration counts last.
    """
    for mark, name in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16le"), (b"\xfe\xff", "utf-16be")):
        if octets.startswith(mark):
            return name
    head = _COMMENT.sub(b"", octets[:_PRESCANNED])
    for meta in _META.finditer(head):
        values: dict[bytes, bytes] = {}
        for one in _ATTRIBUTE.finditer(meta[1]):
            values.setdefault(one[1].lower(), one[2] or one[3] or one[4] or b"")
        stated = values.get(b"charset", b"").strip()
        if not stated and values.get(b"http-equiv", b"").strip().lower() == b"content-type":
            found = _CONTENT_CHARSET.search(values.get(b"content", b""))
            stated = found[1] if found is not None else b""
        if stated:
            return _as_read(stated)
    declared = _XML.match(head)
    return _as_read(declared[1]) if declared is not None else ""


def _as_read(name: bytes) -> str:
    """Return a charset as a document can mean it that was readable up to its name: UTF-16 is UTF-8 there."""
    text = name.decode("ascii", "replace").strip().lower()
    if text.startswith("utf-16"):
        return "utf-8"
    return _WESTERN if text == "x-user-defined" else text


def guessed_charset(octets: bytes) -> str:
    """Guess the charset of text that has octets above 0x7F. The guess may be wrong: the caller has to say so."""
    if is_nearly_utf_8(octets, 10):
        return "utf-8"
    found = _HIGH.search(octets)
    if found is None:
        return _WESTERN
    # A long text may begin with ASCII only, such as quoted mail or base64.
    begin = max(0, found.start() - _BEFORE)
    sample = octets[begin : begin + _SAMPLE]
    runs = _HIGH.findall(sample)
    high = b"".join(runs)
    longest = max(map(len, runs))
    if longest >= _RUN and sum(octet in (0x82, 0x83) for octet in high) * 4 > len(high):
        # Half of the octets of kana in Shift_JIS. In other charsets they are signs that are rare.
        return "shift_jis"
    if longest < _RUN or len(_ACCENTED.findall(sample)) * 2 > len(runs):
        return _WESTERN
    by_ranges = _by_ranges(high, all(len(one) % 2 == 0 for one in runs))
    return by_ranges or (_by_statistics(sample) if len(high) >= _EVIDENCE else _WESTERN)


def is_nearly_utf_8(octets: bytes, share: int) -> bool:
    """Whether text is UTF-8, except for a character that is cut at its end, or for some octets.

    @param share: less than one in this number of octets above 0x7F may be wrong.
    """
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError as wrong:
        if wrong.reason == "unexpected end of data" and not octets[: wrong.start].isascii():
            return True
    else:
        return True
    lost = len(octets) - len(octets.decode("utf-8", "ignore").encode("utf-8"))
    return lost * share < len(octets.translate(None, ASCII))


def _by_ranges(high: bytes, is_even: bool) -> str:
    """Guess from the ranges of the octets, which tell more than statistics if the text is short; "" if they do not."""
    if min(high) >= 0xC0:
        # Cyrillic or Greek. Only in KOI8-R, nearly all letters, the small ones, come first.
        small = sum(octet < 0xE0 for octet in high)
        if small * 10 <= len(high) * 8:
            return ""
        return "koi8-r" if len(high) >= _KOI8_LETTERS else _WESTERN
    if not is_even or min(high) < 0xA1 or 0xFF in high or len(high) < 2 * _PAIRS:
        return ""
    leads = high[::2]
    kana = sum(lead in (0xA4, 0xA5) for lead in leads)
    if kana * 3 > len(leads):
        return "euc-jp"
    # KS X 1001 has its syllables in rows up to 0xC8, GB 2312 the common characters in rows up to 0xD7.
    return "euc-kr" if max(leads) <= 0xC8 and len(leads) >= _KOREAN_PAIRS else "gb18030" if max(leads) <= 0xF7 else ""


def _by_statistics(sample: bytes) -> str:
    # This import takes long, and most messages name their charset.
    from charset_normalizer import from_bytes

    # Without these octets, Shift_JIS has only half-width kana, and almost any text would do.
    is_possible = any(octet in sample for octet in range(0x81, 0xA0))
    candidates = [one for one in _CANDIDATES if is_possible or one != "cp932"]
    best = from_bytes(sample, cp_isolation=candidates).best()
    return _CANDIDATES.get(best.encoding, _WESTERN) if best is not None else _WESTERN
