"""Address of a connection's end as text."""

from __future__ import annotations

from typing import Any


def address_text(address: Any) -> str:
    """Return an address as HOST:PORT, "" if it has none (a Unix socket)."""
    host = getattr(address, "host", "")
    if not host:
        return ""
    return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
