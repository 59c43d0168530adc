"""Attachments that are dangerous to open: programs, and documents that can run code."""

from __future__ import annotations

from typing import Final

# What a system runs when it is opened, or installs, or mounts.
_PROGRAMS_WORDS: Final = (
    # Windows: programs, scripts, installers, shortcuts, settings, and disks.
    "a3x accda accde ade adp ahk air appcontent-ms appinstaller application appref-ms appx appxbundle au3 bas bat bgi "
    "cdxml chm class cmd cnt com contact cpl deskthemepack diagcab diagcfg diagpkg dll drv exe fxp gadget grp hlp hpj "
    "hta htc img inf ins iso isp its jar job jnlp js jse library-ms lnk mad maf mag mam maq mar mas mau mav maw mcf "
    "mda mde mdt mdw mdz msc msh msh1 msh1xml msh2 msh2xml mshxml msi msix msixbundle msm msp mst msu ocx ops osd pcd "
    "pif plg ppa ppkg prf prg printerexport ps1 ps1xml ps2 ps2xml psc1 psc2 psd1 psdm1 psm1 psrc pssc py pyc pyo pyw "
    "pyz pyzw rdp reg scf scr sct search-ms searchconnector-ms settingcontent-ms shb shs sys theme themepack udl url "
    "vb vbe vbp vbs vhd vhdx vsix vsmacros vsw webpnp website wll ws wsb wsc wsf wsh xbap xll xnk "
    # macOS.
    "action afploc app applescript command configprofile dmg dylib fileloc ftploc inetloc kext mailloc mobileconfig "
    "mpkg osx pkg prefpane saver scpt scptd shortcut sparsebundle sparseimage terminal tool vncloc webloc workflow "
    # Linux, Android, browsers, and scripts of any system.
    "apk appimage bash bin crx csh deb desktop fish flatpak flatpakref flatpakrepo ipa ko ksh lua mjs o out pl rb rpm "
    "run service sh snap so tcl xapk xpi zsh"
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
    "accdb accdr accdt asp aspx asx cer crt der doc docm dot dotm dqy htm html iqy mat mdb mht mhtml odb odm one "
    "onepkg oqy p7b potm ppam ppsm ppt pptm pub rqy rtf shtml sldm slk svg svgz swf tex torrent vsd vsdm vssm vstm wbk "
    "xht xhtml xla xlam xlm xls xlsb xlsm xlt xltm xlw xml xsl xslt"
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
