"""Sizes and numbers of things as people read them."""

from __future__ import annotations


def shown_size(octets: int) -> str:
    """Roughly how much."""
    size = float(octets)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def counted(number: int, noun: str) -> str:
    """A number with its noun, which takes an s but after 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
