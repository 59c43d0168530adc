"""Text that the user typed, or that an editor saved, in the encoding of this computer."""

from __future__ import annotations

import locale


def local_text(octets: bytes) -> str:
    """Decode octets as UTF-8, or else in the encoding of the locale, or else as Latin-1, so that nothing is lost."""
    # In Python's UTF-8 mode, in which the commands run in other locales, `getpreferredencoding` tells UTF-8.
    for encoding in ("utf-8-sig", locale.getencoding()):
        try:
            return octets.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return octets.decode("latin-1")
