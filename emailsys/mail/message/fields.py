"""Values of header fields: encoded words, comments and parameters. Malformed input never raises."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

from emailsys.mail.message.charsets import decode_charset, is_charset

# RFC 2047 §2, lenient: the text may have blanks. The charset may have a language suffix (RFC 2231 §5).
# Programs leave a question mark in the text unencoded.
_WORD: Final = re.compile(r"=\?([^?\s]{1,80})\?(?:([bB])\?([^?\r\n]*+)|([qQ])\?((?:[^?\r\n]|(?<!=)\?(?!=))*+))\?=")
_BAD_ESCAPE: Final = re.compile(r"=(?![0-9A-Fa-f]{2})")
_WORD_BEGIN: Final = re.compile(r"=\?[A-Za-z0-9._:*\-]{1,80}\?")
_BETWEEN: Final = re.compile(r"[ \t\r\n]*")
_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9+/]")
_FOLD: Final = re.compile(r"\r?\n(?=[ \t])")
# RFC 2045 §5.1, lenient: any text before "=" is a name, and an unquoted value ends at the next semicolon.
_PARAMETER: Final = re.compile(
    r'[ \t\r\n;]*+([^=; \t\r\n]++)[ \t\r\n]*+=[ \t\r\n]*+(?:"((?:[^"\\]|\\.)*+)"?|([^;]*+))', re.S
)
# What is skipped where no parameter begins. A search would try each character of a long word, in quadratic time.
_NO_PARAMETER: Final = re.compile(r"[ \t\r\n;]*+(?:[^=; \t\r\n]++|=)?")
_SECTION: Final = re.compile(r"([^*]+)(?:\*([0-9]{1,3}))?(\*)?")
_NAMED: Final = frozenset({"name", "filename"})
# A file name without quotes that has parentheses, and a comment after it.
_NAME_IN_PARENTHESES: Final = re.compile(r'(?:^|;)[ \t\r\n]*+((?:file)?name)[ \t]*+=[ \t]*+([^";(]*+\([^";]*+)', re.I)
# A path that a program on Windows wrote without quoting its backslashes.
_WINDOWS_PATH: Final = re.compile(r"[A-Za-z]:\\(?!\\)")
# The semicolon before the first parameter is missing, or is another sign.
_NO_SEMICOLON: Final = re.compile(r"[ \t]*+([^ \t,=\"]++)[ \t,]++([A-Za-z*0-9-]++[ \t]*+=.*)", re.S)
# RFC 2045 §5.1. Octets above 0x7F are told elsewhere.
_TOKEN: Final = re.compile(r"[^\x00-\x20()<>@,;:\\\"/\[\]?=\x7f]+")
_PATH: Final = re.compile(r"[A-Za-z]:\\|\\\\|\.{0,2}/")
# RFC 5322 §3.2.2: the text up to the next comment, and that within a comment up to the next parenthesis.
_OUTSIDE_COMMENTS: Final = re.compile(r'(?:[^\\"(]++|\\.?|"(?:[^\\"]++|\\.?)*+"?)++', re.S)
_IN_COMMENT: Final = re.compile(r"(?:[^\\()]++|\\.?)++", re.S)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.S)
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+\-]+/[a-z0-9!#$&^_.+\-]+")
# Characters of one structured field that are parsed. Real fields are much shorter.
MAX_STRUCTURED: Final = 65_536


def field_text(octets: bytes, charset: str = "") -> str:
    """Decode and unfold a field value: UTF-8 (RFC 6532), otherwise a charset that old programs write.

    @param charset: "" for Windows-1252.
    """
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        text = decode_charset(octets, charset or "windows-1252")[0]
    return _FOLD.sub("", text).strip(" \t\r\n")


def _word_octets(encoding: str, text: str) -> bytes:
    if encoding in "qQ":
        return binascii.a2b_qp(text.replace("_", " ").encode("utf-8", "surrogateescape"), header=False)
    digits = _NOT_BASE64.sub("", text)
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return binascii.a2b_base64(digits + "=" * (-len(digits) % 4))


def decode_words(text: str) -> str:
    """Decode the encoded words in a text (RFC 2047). Undecodable words stay, undecodable octets become U+FFFD.

    Blanks between two encoded words are removed (§6.2). Adjacent words in one charset are joined before decoding,
    because many programs split a character between them.
    """
    if "=?" not in text:
        return text
    out: list[str] = []
    charset = ""
    waiting: list[bytes] = []
    at = 0
    after_word = False
    for found in _WORD.finditer(text):
        between = text[at : found.start()]
        if not (after_word and _BETWEEN.fullmatch(between)):
            out.append(decode_charset(b"".join(waiting), charset)[0] if after_word else "")
            waiting.clear()
            out.append(between)
            charset = ""
        name = found[1].partition("*")[0].lower()
        if waiting and name != charset:
            out.append(decode_charset(b"".join(waiting), charset)[0])
            waiting.clear()
        charset = name
        waiting.append(_word_octets(found[2] or found[4], found[3] if found[2] else found[5]))
        at = found.end()
        after_word = True
    if after_word:
        out.append(decode_charset(b"".join(waiting), charset)[0])
    out.append(text[at:])
    return "".join(out)


def word_defects(text: str) -> list[str]:
    """Return what is wrong with the encoded words of a text that `decode_words` reads all the same, or leaves."""
    if "=?" not in text:
        return []
    if len(text) > MAX_STRUCTURED:
        # Without the word at the limit, which is not broken.
        text = text[:MAX_STRUCTURED].rpartition("=?")[0]
    defects: dict[str, None] = {}
    for found in _WORD.finditer(text):
        before, after = text[found.start() - 1 : found.start()], text[found.end() : found.end() + 1]
        # RFC 2047 §5: an encoded word is a word of its own, and stands in no quoted string.
        if before.strip("( \t\r\n") or after.strip(") \t\r\n"):
            defects["an encoded word touches other text, and is decoded all the same (RFC 2047 §5)"] = None
        if found[3] is None and (" " in found[5] or "?" in found[5] or "\t" in found[5]):
            defects["an encoded word has blanks or question marks, and is decoded all the same"] = None
        if found[3] is None and _BAD_ESCAPE.search(found[5]) is not None:
            defects["an encoded word has malformed escapes"] = None
        if found[2] is not None and (len(found[3]) % 4 or _NOT_BASE64.search(found[3].rstrip("="))):
            defects["an encoded word has malformed base64"] = None
        octets = _word_octets(found[2] or found[4], found[3] if found[2] else found[5])
        wrong = decode_charset(octets, found[1].partition("*")[0])[1]
        defects.update((f"an encoded word: {one}", None) for one in wrong)
    if _WORD_BEGIN.search(_WORD.sub(" ", text)) is not None:
        defects["an encoded word is broken, and is shown as it is"] = None
    return [*defects]


def without_comments(text: str) -> str:
    """Replace each comment in a structured value (RFC 5322 §3.2.2) by one blank. Quoted strings stay."""
    if "(" not in text:
        return text
    text = text[:MAX_STRUCTURED]
    kept: list[str] = []
    at = depth = 0
    while at < len(text):
        found = (_IN_COMMENT if depth else _OUTSIDE_COMMENTS).match(text, at)
        if found is not None:
            at = found.end()
            if not depth:
                kept.append(found[0])
        if at < len(text):
            # A parenthesis: outside comments, only one that opens ends the match.
            if text[at] == "(":
                depth += 1
            else:
                depth -= 1
                kept.append(" ")
            at += 1
    return "".join(kept)


def _joined(sections: dict[int, tuple[str, bool]]) -> str:
    """Join the sections of a parameter value (RFC 2231 §3, §4.1).

    @param sections: the value of each, and whether it is percent-encoded.
    """
    charset = ""
    octets = b""
    for number, (value, encoded) in sorted(sections.items()):
        if encoded:
            if number == 0 and value.count("'") >= 2:
                charset, _, value = value.split("'", 2)
            octets += unquote_to_bytes(value)
        else:
            octets += value.encode("utf-8", "surrogateescape")
    return decode_charset(octets, charset if is_charset(charset) else "utf-8")[0]


def _parameters(text: str) -> Iterator[re.Match[str]]:
    at = 0
    while at < len(text):
        found = _PARAMETER.match(text, at)
        if found is not None:
            yield found
        elif (found := _NO_PARAMETER.match(text, at)) is None:
            return
        at = found.end()


def parse_parameters(text: str) -> dict[str, str]:
    """Parse the parameters of Content-Type or Content-Disposition (RFC 2045 §5.1, RFC 2231). Names are in lower case.

    The first of several parameters with one name counts.

    @param text: the text after the first semicolon.
    """
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for found in _parameters(text[:MAX_STRUCTURED]):
        value = found[3].strip() if found[2] is None else found[2]
        if found[2] is not None and _WINDOWS_PATH.match(value) is None:
            value = _QUOTED_PAIR.sub(r"\1", value)
        name = _SECTION.fullmatch(found[1].lower())
        if name is None:
            continue
        if name[2] is None and name[3] is None:
            # Encoded words are not allowed here (RFC 2047 §5), but many programs write file names in them. A boundary
            # may only look like one.
            plain.setdefault(name[1], decode_words(value) if name[1] in _NAMED else value)
        else:
            sections.setdefault(name[1], {}).setdefault(int(name[2] or 0), (value, name[3] is not None))
    # RFC 2231 §4: prefer the extended form if both are present.
    return plain | {name: _joined(parts) for name, parts in sections.items()}


def parameter_defects(text: str) -> list[str]:
    """Return what is wrong with the parameters of a structured value that `parse_value` reads all the same."""
    text = text[:MAX_STRUCTURED]
    value, _, rest = without_comments(text).partition(";")
    if (missing := _NO_SEMICOLON.fullmatch(value)) is not None:
        rest = f"{missing[2]};{rest}"
    defects: dict[str, None] = {}
    seen: set[str] = set()
    sections: dict[str, set[int]] = {}
    end = 0
    for found in _parameters(rest):
        ignored = rest[end : found.start()].strip(" \t\r\n;")
        end = found.end()
        if ignored:
            defects[f"ignored, because it is no parameter: {ignored[:40]!r}"] = None
        name = _SECTION.fullmatch(found[1].lower())
        if name is None:
            defects[f"ignored, because it is no name of a parameter: {found[1][:40]!r}"] = None
            continue
        shown = name[1][:40]
        if found[1].lower() in seen:
            defects[f"more than one {shown} parameter: the first counts"] = None
        seen.add(found[1].lower())
        if name[2] is not None:
            sections.setdefault(shown, set()).add(int(name[2]))
        if found[2] is None and name[3] is None and not _TOKEN.fullmatch(found[3].strip()):
            defects[f"the value of {shown} lacks its quotation marks"] = None
        elif found[2] is not None and not found[0].endswith('"'):
            defects[f"the value of {shown} lacks its closing quotation mark"] = None
        value = found[3] if found[2] is None else found[2]
        if name[1] in _NAMED and name[3] is None:
            if "=?" in value and decode_words(value) != value:
                defects[f"the value of {shown} is an encoded word, which RFC 2047 §5 forbids"] = None
            if _PATH.match(value):
                defects[f"the value of {shown} is a path: its folders are not used"] = None
    if ignored := rest[end:].strip(" \t\r\n;"):
        defects[f"ignored, because it is no parameter: {ignored[:40]!r}"] = None
    for shown, numbers in sections.items():
        if numbers != set(range(len(numbers))):
            defects[f"a section of {shown} is missing (RFC 2231 §3)"] = None
    return [*defects]


def parse_value(text: str) -> tuple[str, dict[str, str]]:
    """Parse a structured value: the text before the first semicolon in lower case, and the parameters."""
    value, _, rest = without_comments(text[:MAX_STRUCTURED]).partition(";")
    if (found := _NO_SEMICOLON.fullmatch(value)) is not None:
        value, rest = found[1], f"{found[2]};{rest}"
    parameters = parse_parameters(rest)
    if "(" in text:
        _restore_parentheses(text[:MAX_STRUCTURED], parameters)
    return value.strip().lower(), parameters


def lacks_semicolon(text: str) -> bool:
    """Whether a structured value lacks the semicolon in front of its parameters, which `parse_value` then adds."""
    return _NO_SEMICOLON.fullmatch(without_comments(text[:MAX_STRUCTURED]).partition(";")[0]) is not None


def _restore_parentheses(text: str, parameters: dict[str, str]) -> None:
    """Give file names back the parentheses that were taken for a comment: `name=report(1).pdf` lacks its quotes."""
    for found in _NAME_IN_PARENTHESES.finditer(text):
        name, value = found[1].lower(), found[2].strip()
        if parameters.get(name) == decode_words(without_comments(value).strip()):
            parameters[name] = decode_words(_without_final_comment(value))


def _without_final_comment(value: str) -> str:
    before, _, comment = value.rpartition("(")
    is_comment = before.endswith((" ", "\t")) and comment.find(")") == len(comment) - 1
    return before.rstrip(" \t") if is_comment else value


def is_media_type(text: str) -> bool:
    """Whether the text is a type and subtype of RFC 2045 §5.1 in lower case."""
    return len(text) <= 255 and _MEDIA_TYPE.fullmatch(text) is not None
