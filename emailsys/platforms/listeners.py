"""Programs that listen on a TCP port, by /proc of Linux (proc_pid_net(5)). Other systems do not tell."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# State of a socket in /proc/net/tcp: TCP_LISTEN of linux/include/net/tcp_states.h.
_LISTEN: Final = "0A"


def listener_of(host: str, port: int, proc: Path = Path("/proc")) -> str:
    """Return the program that listens on a port of an address, such as "nginx (process 123)"; "" if it is unknown.

    Without root only processes of the same user are found.
    """
    try:
        inodes = set(_inodes(ipaddress.ip_address(host), port, proc))
        return _owner(inodes, proc) if inodes else ""
    except (OSError, ValueError):
        return ""


def _inodes(host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, proc: Path) -> Iterator[str]:
    """Yield the inodes of the sockets that listen on the port, at this address or at one that includes it."""
    for name in ("tcp", "tcp6"):
        sockets = proc / "net" / name
        # A kernel without IPv6 has no tcp6.
        if not sockets.exists():
            continue
        for line in sockets.read_text("ascii").splitlines()[1:]:
            words = line.split()
            address, _, number = words[1].partition(":")
            if words[3] != _LISTEN or int(number, 16) != port:
                continue
            # Words of 32 bits in the byte order of the machine.
            octets = bytes.fromhex(address)
            parts = [octets[at : at + 4] for at in range(0, len(octets), 4)]
            found = ipaddress.ip_address(b"".join(part[::-1] if sys.byteorder == "little" else part for part in parts))
            if found == host or found.is_unspecified or host.is_unspecified:
                yield words[9]


def _owner(inodes: set[str], proc: Path) -> str:
    targets = {f"socket:[{inode}]" for inode in inodes}
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(str(link.readlink()) in targets for link in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text('utf-8', 'replace').strip()} (process {process.name})"
        except OSError:
            # The process has ended, or belongs to another user.
            continue
    return ""
