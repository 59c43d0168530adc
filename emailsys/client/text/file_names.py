"""Names from strangers made safe as file names, on every system."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath
from typing import Final

# What some file system refuses or takes for something else. Format characters (bidirectional overrides among them)
# are taken out by category: "exe.gpj" must not read as "jpg.exe".
_REFUSED: Final = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f]')
_MAYBE_PATH: Final = re.compile(r"[/\\:\x00]")
_BLANKS: Final = re.compile(r"\s+")
# Names that Windows keeps for devices, with any extension.
_DEVICES: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.I)
_INVISIBLE: Final = frozenset({"Cf", "Co", "Cs", "Cn", "Cc", "Zl", "Zp"})
#: The longest name made here, in octets; file systems allow 255, and a suffix must fit.
MAX_OCTETS: Final = 180


def _shortened(text: str, octets: int) -> str:
    return text.encode("utf-8", "replace")[:octets].decode("utf-8", "ignore")


def safe_name(text: str, fallback: str = "attachment", max_octets: int = MAX_OCTETS) -> str:
    """One path component: no separators, no control or invisible characters, no device, neither hidden nor "..".

    The extension survives shortening.
    """
    # Some programs send whole paths.
    if _MAYBE_PATH.search(text):
        text = PureWindowsPath(PurePosixPath(text.replace("\x00", "")).name).name or text
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    text = text[:4096]
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(one) in _INVISIBLE else one for one in text)
    text = _BLANKS.sub(" ", _REFUSED.sub("_", text)).strip(" .~")
    if len(text.encode()) > max_octets:
        stem, dot, extension = text.rpartition(".")
        if dot and stem and len(extension.encode()) <= 20:
            text = _shortened(stem, max_octets - len(extension.encode()) - 1).rstrip(" .") + "." + extension
        else:
            text = _shortened(text, max_octets).rstrip(" .")
    if not text or _DEVICES.fullmatch(text):
        text = f"{fallback} {text}".strip()
    return text


def numbered(name: str, number: int) -> str:
    """The same name with a number before its extension: "a.pdf" becomes "a (2).pdf"."""
    stem, dot, extension = name.rpartition(".")
    return f"{stem} ({number}).{extension}" if dot and stem else f"{name} ({number})"
