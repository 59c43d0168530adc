"""Attachments that are dangerous to open: programs, and documents that can run code."""

from __future__ import annotations

from typing import Final

# What a system runs when it is opened, or installs, or mounts.
_PROGRAMS_WORDS: Final = (
    "apk app appimage application appref-ms bash bat bin cmd com command cpl crx csh deb desktop dll dmg exe fish "
    "gadget hta img inf ins iso jar jnlp js jse ksh lnk lua mjs msc msi msix msp mst o osx out pif pkg pl ps1 psm1 "
    "py pyc pyw pyz rb reg rpm run scf scpt scr service sh shb shs snap so terminal tool url vb vbe vbs vhd vhdx "
    "webloc website workflow ws wsc wsf wsh xpi zsh"
)
_PROGRAMS: Final = frozenset(_PROGRAMS_WORDS.split())
_PROGRAM_TYPES_WORDS: Final = (
    "application/x-msdownload application/x-msdos-program application/x-executable application/x-sharedlib "
    "application/x-sh application/x-shellscript application/x-desktop application/x-ms-shortcut "
    "application/x-bat application/java-archive application/javascript text/javascript application/hta "
    "application/x-python application/x-perl application/vnd.microsoft.portable-executable "
    "application/vnd.debian.binary-package application/x-rpm application/x-apple-diskimage"
)
_PROGRAM_TYPES: Final = frozenset(_PROGRAM_TYPES_WORDS.split())
# ELF, Windows, Mach-O, Java, a script, and a shortcut of Windows.
_BEGINNINGS: Final = (
    *(b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe"),
    *(b"#!", b"L\x00\x00\x00\x01\x14\x02\x00", b"[Desktop Entry]"),
)
# Documents that can have macros or scripts, or load from the network.
_ACTIVE_WORDS: Final = (
    "doc docm dot dotm htm html mht mhtml odb odm one potm ppam ppsm ppt pptm rtf shtml sldm svg svgz swf tex "
    "torrent xhtml xla xlam xls xlsb xlsm xlt xltm xml xsl xslt"
)
_ACTIVE: Final = frozenset(_ACTIVE_WORDS.split())
_ACTIVE_TYPES: Final = frozenset({"text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml"})


def refusal(name: str, content_type: str, octets: bytes) -> str:
    """Return why an attachment is never opened, or "". It can be saved."""
    extension = _extension(name)
    beginning = octets.lstrip(b"\xef\xbb\xbf \t\r\n")[:20]
    if extension in _PROGRAMS or content_type in _PROGRAM_TYPES or beginning.startswith(_BEGINNINGS):
        return f"{name} is a program, or would run one: it is not opened. It can be saved."
    return ""


def warning(name: str, content_type: str) -> str:
    """Return what the user has to know before an attachment is opened, or ""."""
    if not _extension(name):
        return f"{name} has no extension, so that the system chooses the program by what is in it."
    if _extension(name) in _ACTIVE or content_type in _ACTIVE_TYPES:
        return f"{name} is of a kind that can run scripts or macros, or load from the network."
    return ""


def _extension(name: str) -> str:
    return name.rstrip(" .").rpartition(".")[2].lower() if "." in name else ""
