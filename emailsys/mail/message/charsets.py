"""Charsets of mail: an allow-list of names, and the decoding of octets to text. Faults are reported, never raised.

The names are those of the WHATWG encoding table, and others that mail uses. The name in a message never reaches
Python's registry of codecs: any library may add to the registry, and some of its codecs are slow or are no charsets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from webencodings.labels import LABELS

from emailsys.mail.message.charset_guess import ASCII, guessed_charset, is_nearly_utf_8
from emailsys.mail.message.japanese import euc_jp, iso_2022_jp

# Python's codec for each encoding of the WHATWG table. Where mail often has a superset under the name of its subset,
# the superset is read: GB18030 for GB2312, CP949 for EUC-KR, CP932 for Shift_JIS.
_CODECS: Final[Mapping[str, str]] = {
    **{f"iso-8859-{part}": f"iso8859_{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    **{f"windows-{page}": f"cp{page}" for page in (874, *range(1250, 1259))},
    "iso-8859-8-i": "iso8859_8",
    "big5": "big5",
    "euc-jp": "euc_jp",
    "euc-kr": "cp949",
    "gb18030": "gb18030",
    "gbk": "gb18030",
    "ibm866": "cp866",
    "iso-2022-jp": "iso2022_jp",
    "koi8-r": "koi8_r",
    "koi8-u": "koi8_u",
    "macintosh": "mac_roman",
    "shift_jis": "cp932",
    "utf-16be": "utf_16_be",
    "utf-16le": "utf_16_le",
    "utf-8": "utf_8",
    "x-mac-cyrillic": "mac_cyrillic",
}
# Codecs for names that mail uses and the WHATWG table lacks, or gives another meaning. All punctuation is left out.
_MAIL: Final[Mapping[str, str]] = {
    **{
        f"{kind}{page}": f"cp{page}" for kind in ("cp", "ibm") for page in (437, 720, 737, 775, 850, 852, 855, 857, 858)
    },
    **{f"{kind}{page}": f"cp{page}" for kind in ("cp", "ibm") for page in (*range(860, 867), 869, 1125)},
    # RFC 1554, RFC 2237, RFC 1557, RFC 1843.
    **{f"iso2022jp{part}": f"iso2022_jp_{part}" for part in ("1", "2", "3", "ext", "2004")},
    **dict.fromkeys(("iso2022kr", "csiso2022kr"), "iso2022_kr"),
    **dict.fromkeys(("hz", "hzgb2312"), "hz"),
    **dict.fromkeys(("cp50220", "cp50221", "cp50222"), "iso2022_jp"),
    **dict.fromkeys(("eucjpms", "cp51932"), "euc_jp"),
    **dict.fromkeys(("cp932", "ibm943", "cp943"), "cp932"),
    **dict.fromkeys(("cp936", "ms936", "windows936", "euccn", "cp54936"), "gb18030"),
    **dict.fromkeys(("cp949", "uhc", "ms949", "cp51949", "euckr"), "cp949"),
    **dict.fromkeys(("johab", "cp1361"), "johab"),
    **dict.fromkeys(("cp950", "ms950", "windows950", "big5eten"), "big5"),
    **dict.fromkeys(("utf7", "unicode11utf7", "xunicode20utf7"), "utf_7"),
    **dict.fromkeys(("utf8mb4", "cp65001"), "utf_8"),
    **dict.fromkeys(("utf16", "csutf16"), "utf_16"),
    "utf32": "utf_32",
    "utf32be": "utf_32_be",
    "utf32le": "utf_32_le",
    # RFC 1556 §3.1: the suffix declares a text direction, not other octets.
    "iso88596i": "iso8859_6",
    "koi8t": "koi8_t",
    **dict.fromkeys(("kz1048", "rk1048", "strk10482002"), "kz1048"),
    "ptcp154": "ptcp154",
    **dict.fromkeys(("hproman8", "roman8"), "hp_roman8"),
    **dict.fromkeys(("xmacroman", "macroman"), "mac_roman"),
    **dict.fromkeys(("xmacce", "maccentraleurope", "xmaccentraleurope", "xmaccentraleurroman"), "mac_latin2"),
    "xmacgreek": "mac_greek",
    "xmacturkish": "mac_turkish",
    "xmaciceland": "mac_iceland",
    # The WHATWG table reads US-ASCII as Windows-1252. Mail labelled so is often UTF-8.
    **dict.fromkeys(("usascii", "ascii", "ansix341968", "iso646us", "iso646irv1991", "ansix341986", "cp367"), "ascii"),
    **dict.fromkeys(("ibm367", "csascii", "us"), "ascii"),
}
# Text that is labelled as UTF-8 is in another charset if it has so many octets above 0x7F, no letter of UTF-8, and
# half of these octets are no UTF-8 at all.
_ENOUGH: Final = 4
_HAS_UTF_8: Final = re.compile(rb"[\xc3-\xdf][\x80-\xbf](?![\x80-\xbf])|[\xe0-\xef][\x80-\xbf]{2}(?![\x80-\xbf])")
# Text in another charset than the stated one is UTF-8 if fewer than one in 20 octets above 0x7F are wrong.
_ALMOST_ALL: Final = 20
_PUNCTUATION: Final = re.compile(r"[^a-z0-9]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._:()\-]{0,39}")
_BY_NAME: Final[Mapping[str, str]] = {
    **{_PUNCTUATION.sub("", label): _CODECS[name] for label, name in LABELS.items() if name in _CODECS},
    **_MAIL,
}


def _big5(octets: bytes) -> str:
    """Decode CP950, or else Big5-HKSCS; if the octets are neither, by the codec that knows more of them."""
    for codec in ("cp950", "big5hkscs"):
        try:
            return octets.decode(codec)
        except UnicodeDecodeError:
            continue
    return min(
        (octets.decode(codec, "replace") for codec in ("cp950", "big5hkscs")), key=lambda one: one.count("\ufffd")
    )


def _utf_7(octets: bytes) -> str:
    """Decode UTF-7. Python's codec returns half of a surrogate pair as it is, and no such text can be encoded again."""
    return _SURROGATE.sub("\ufffd", octets.decode("utf_7", "replace"))


# Decoders for charsets that no codec of Python reads completely. They put U+FFFD in the place of what they cannot read.
_DECODERS: Final[Mapping[str, Callable[[bytes], str]]] = {
    "iso2022_jp": iso_2022_jp,
    "euc_jp": euc_jp,
    "big5": _big5,
    "utf_7": _utf_7,
}


@lru_cache(maxsize=256)
def _codec_of(charset: str) -> str | None:
    name = charset.strip().lower()
    return _BY_NAME.get(_PUNCTUATION.sub("", name)) if _NAME.fullmatch(name) else None


def is_charset(charset: str) -> bool:
    """Whether the name of a charset is known. @param charset: in any case; hyphens and other punctuation may differ."""
    return _codec_of(charset[:64]) is not None


def decode_charset(octets: bytes, charset: str) -> tuple[str, list[str]]:
    """Decode octets in a charset. Returns the text and the defects.

    For US-ASCII with 8-bit octets and for unknown charsets, the charset is guessed, and a defect says so. ISO-8859-1 is
    decoded as Windows-1252, because no sender means its control characters.
    """
    codec = _codec_of((charset or "us-ascii")[:64])
    if codec is None:
        text, guessed = _guess(octets)
        return text, [f"unknown charset {charset[:40]!r}", *guessed]
    if codec == "ascii":
        if octets.isascii():
            return octets.decode("ascii"), []
        text, guessed = _guess(octets)
        return text, ["8-bit octets in US-ASCII text", *guessed]
    wrong = [f"octets that are not {charset[:40]}"]
    if (decoder := _DECODERS.get(codec)) is not None:
        text = decoder(octets)
        if "\ufffd" not in text:
            return text, []
    else:
        try:
            return octets.decode(codec), []
        except ValueError:
            text = octets.decode(codec, "replace")
    if codec != "utf_8" and _HAS_UTF_8.search(octets) is not None and is_nearly_utf_8(octets, _ALMOST_ALL):
        return octets.decode("utf-8", "replace"), [*wrong, "read as utf-8"]
    is_long = len(octets.translate(None, ASCII)) >= _ENOUGH
    if codec == "utf_8" and is_long and _HAS_UTF_8.search(octets) is None and not is_nearly_utf_8(octets, 2):
        text, guessed = _guess(octets)
        wrong += guessed
    return text, wrong


def _guess(octets: bytes) -> tuple[str, list[str]]:
    if octets.isascii():
        return octets.decode("ascii"), []
    name = guessed_charset(octets)
    text, wrong = decode_charset(octets, name)
    return text, [f"charset guessed: {name}", *wrong]
