"""The hosts file of the system, hosts(5): read to explain a name that DNS does not have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from emailsys.mail.ip import read_ip

HOSTS_FILE: Final = Path(r"C:\Windows\System32\drivers\etc\hosts" if sys.platform == "win32" else "/etc/hosts")
# Octets that are read. Lists of blocked advertisers are larger, but name no mail host.
_MAX_OCTETS: Final = 64 * 1024


def addresses_in(path: Path, name: str) -> list[str]:
    """Return the IP addresses that a hosts file has for a name; none if the file cannot be read."""
    try:
        with path.open("rb") as file:
            lines = file.read(_MAX_OCTETS).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    entries = (line.partition("#")[0].split() for line in lines)
    return [words[0] for words in entries if name in map(str.lower, words[1:]) and read_ip(words[0]) is not None]
