"""Text that the user typed, or that an editor saved, in the encoding of this computer."""

from __future__ import annotations

import locale

from emailsys.mail.message.charsets import decode_charset


def local_text(octets: bytes) -> str:
    """Decode octets as UTF-8, or else in the encoding of the locale, or else as Latin-1, so that nothing is lost."""
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        # In Python's UTF-8 mode, in which the commands run in other locales, `getpreferredencoding` tells UTF-8.
        text, defects = decode_charset(octets, locale.getencoding())
        return octets.decode("latin-1") if defects else text
