"""Safe file names, on every operating system, from names that senders chose."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Characters that some file system rejects or interprets. Format characters, such as bidirectional overrides, are
# removed by category: "exe.gpj" must not be displayed as "jpg.exe".
_REFUSED: Final = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f]')
_SEPARATORS: Final = re.compile(r"[/\\]")
# A drive of Windows. "Re: subject" and "12:30" are no paths. Releases of pathlib differ in what they take for a drive.
_DRIVE: Final = re.compile(r"\A[A-Za-z]:")
_BLANKS: Final = re.compile(r"\s+")
# Names that Windows reserves for devices, with any extension. It ignores blanks before that.
_DEVICES: Final = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(?:\..*)?", re.I)
_INVISIBLE: Final = frozenset({"Cf", "Co", "Cs", "Cn", "Cc", "Zl", "Zp"})
#: Longest name returned, in octets. File systems allow 255, and a suffix must fit.
MAX_OCTETS: Final = 180


def _shortened(text: str, octets: int) -> str:
    return text.encode("utf-8", "replace")[:octets].decode("utf-8", "ignore")


def safe_name(text: str, fallback: str = "attachment", max_octets: int = MAX_OCTETS) -> str:
    """Return one safe path component.

    The result has no separators and no control or invisible characters. It is not a device name, not a hidden file
    and not "..", and it does not begin with "-": a program would take it for an option. Shortening keeps the extension.

    @param fallback: the name if nothing safe is left of `text`.
    @param max_octets: the longest result, in octets of UTF-8.
    """
    # Some mail programs send whole paths.
    parts = [part for part in _SEPARATORS.split(text.replace("\x00", "")) if part not in ("", ".")]
    text = _DRIVE.sub("", parts[-1] if parts else "") or text
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    text = text[:4096]
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(one) in _INVISIBLE else one for one in text)
    text = _BLANKS.sub(" ", _REFUSED.sub("_", text)).strip(" .~").lstrip(" .~-")
    if len(text.encode()) > max_octets:
        stem, dot, extension = text.rpartition(".")
        if dot and stem and len(extension.encode()) <= 20:
            text = _shortened(stem, max_octets - len(extension.encode()) - 1).rstrip(" .") + "." + extension
        else:
            text = _shortened(text, max_octets).rstrip(" .")
    if not text or _DEVICES.fullmatch(text):
        text = f"{fallback} {text}".strip()
    return text


def folded(name: str) -> str:
    """Return a name for comparison, without case and in one form: some systems write file names in NFD."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def numbered(name: str, number: int) -> str:
    """Insert a number before the extension of a name: "a.pdf" becomes "a (2).pdf"."""
    stem, dot, extension = name.rpartition(".")
    return f"{stem} ({number}).{extension}" if dot and stem else f"{name} ({number})"
