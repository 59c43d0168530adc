"""Dark and light themes of the full screen."""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

DARK: Final = Theme(
    name="dark",
    primary="#7aa2f7",
    secondary="#bb9af7",
    accent="#e0af68",
    foreground="#d5d9e8",
    background="#16161e",
    surface="#1a1b26",
    panel="#24283b",
    success="#9ece6a",
    warning="#e0af68",
    error="#f7768e",
    dark=True,
)
LIGHT: Final = Theme(
    name="light",
    primary="#1f5fbf",
    secondary="#7a3fb0",
    accent="#9a5a00",
    foreground="#1d2330",
    background="#f4f5f8",
    surface="#ffffff",
    panel="#e4e8f0",
    success="#2f7d32",
    warning="#9a5a00",
    error="#b3261e",
    dark=False,
)
THEMES: Final = (DARK, LIGHT)
