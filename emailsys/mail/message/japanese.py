"""Decoders for Japanese mail: ISO-2022-JP and EUC-JP with the characters of vendors, which Python's codecs lack."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_WRONG: Final = "\ufffd"
_KANA: Final = 0xFF61 - 0xA1
# Escape sequences and shifts (RFC 1468; the others as CP50221 and CP50222 write them), and line ends.
_SWITCH: Final = re.compile(r"\x1b(?:\$[@B]|\$\([@BD]|\([BJIH])|[\x0e\x0f\r\n]")
_TWO: Final = re.compile(r"([!-~])([!-~])|[!-\xff]")
_KANA_OCTET: Final = re.compile(r"[!-_]")
_KANA_8BIT: Final = re.compile(r"[\xa1-\xdf]")
_NO_PAIR: Final = re.compile(r"[!-\xa0\xe0-\xff]")
_LEFT_OVER: Final = re.compile(r"[\x1b\x80-\xa0\xe0-\xff]")
_EUC: Final = re.compile(r"\x8f?[\xa1-\xfe]{2}|\x8e[\xa1-\xdf]|[\x80-\xff]")
# JIS X 0201 has two characters in the place of ASCII's.
_ROMAN: Final = str.maketrans("\\~", "¥‾")
_MODES: Final = {"$@": "kanji", "$B": "kanji", "$(@": "kanji", "$(B": "kanji", "$(D": "supplement", "(I": "kana"}


@lru_cache(maxsize=1)
def _kanji() -> dict[str, str]:
    """Return the table of JIS X 0208 with the rows of NEC and IBM: two characters of 0x21 to 0x7E to one character.

    CP932 orders the same characters in another way, and Python has it.
    """
    table = {}
    for row in range(94):
        lead = (row >> 1) + (0x81 if row < 62 else 0xC1)
        for cell in range(94):
            trail = cell + 0x9F if row & 1 else cell + 0x40 + (cell >= 63)
            try:
                table[chr(0x21 + row) + chr(0x21 + cell)] = bytes((lead, trail)).decode("cp932")
            except UnicodeDecodeError:
                continue
    return table


@lru_cache(maxsize=1)
def _supplement() -> dict[str, str]:
    """Return the table of JIS X 0212, with the same keys."""
    table = {}
    for row in range(0x21, 0x7F):
        for cell in range(0x21, 0x7F):
            try:
                table[chr(row) + chr(cell)] = bytes((0x8F, row | 0x80, cell | 0x80)).decode("euc_jp")
            except UnicodeDecodeError:
                continue
    return table


def _kana(text: str) -> str:
    return _KANA_8BIT.sub(lambda found: chr(ord(found[0]) + _KANA), text)


def _run(text: str, mode: str) -> str:
    """Decode the text between two switches. Octets above 0x7F are half-width kana in every mode, as in CP50221."""
    if mode in ("kanji", "supplement"):
        table = _kanji() if mode == "kanji" else _supplement()
        return _TWO.sub(
            lambda found: table.get(found[0], _WRONG) if found[1] else _kana(_NO_PAIR.sub(_WRONG, found[0])), text
        )
    if mode == "kana":
        text = _KANA_OCTET.sub(lambda found: chr(ord(found[0]) | 0x80), text)
    text = _kana(_LEFT_OVER.sub(_WRONG, text))
    return text.translate(_ROMAN) if mode == "roman" else text


def iso_2022_jp(octets: bytes) -> str:
    """Decode ISO-2022-JP as CP50221 has it: with half-width kana and row 13. Malformed octets become U+FFFD.

    Each line begins in ASCII (RFC 1468), so that damage ends with the line.
    """
    text = octets.decode("latin-1")
    out: list[str] = []
    mode, before = "ascii", "ascii"
    at = 0
    for found in _SWITCH.finditer(text):
        out.append(_run(text[at : found.start()], mode))
        at = found.end()
        switch = found[0]
        if switch in "\r\n":
            out.append(switch)
            mode = before = "ascii"
        elif switch == "\x0e":
            before, mode = mode if mode != "kana" else before, "kana"
        elif switch == "\x0f":
            mode = before
        else:
            mode = before = _MODES.get(switch[1:], "ascii" if switch == "\x1b(B" else "roman")
    out.append(_run(text[at:], mode))
    return "".join(out)


def euc_jp(octets: bytes) -> str:
    """Decode EUC-JP with the rows of NEC and IBM. Malformed octets become U+FFFD."""

    def character(found: re.Match[str]) -> str:
        text = found[0]
        if text[0] == "\x8e":
            return chr(ord(text[1]) + _KANA) if len(text) == 2 else _WRONG
        table = _supplement() if text[0] == "\x8f" else _kanji()
        return table.get("".join(chr(ord(one) & 0x7F) for one in text[-2:]), _WRONG)

    return _EUC.sub(character, octets.decode("latin-1"))
