"""Names of Maildir++ subfolders: modified UTF-7 (RFC 3501 §5.1.3), which IMAP servers write on disk."""

from __future__ import annotations

import re
from typing import Final

_SHIFTED: Final = re.compile(r"&([A-Za-z0-9+,]*)-")


def decode_folder_name(name: str) -> str:
    """Decode a folder name. A name that is not in modified UTF-7 stays as it is: other programs write UTF-8."""

    def characters(found: re.Match[str]) -> str:
        if not found[1]:
            return "&"
        try:
            return f"+{found[1].replace(',', '/')}-".encode("ascii").decode("utf-7")
        except UnicodeDecodeError:
            return found[0]

    return _SHIFTED.sub(characters, name)
