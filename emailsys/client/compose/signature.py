"""Signature below the text of a letter, after the line "-- " (RFC 3676 §4.3)."""

from __future__ import annotations


def _block(signature: str) -> str:
    return f"\n\n-- \n{signature}\n" if signature else ""


def signed(text: str, signature: str) -> str:
    """Return a text with a signature below it. @param signature: its lines; "" for none."""
    return text + _block(signature)


def above_signature(text: str, signature: str) -> str:
    """Return the part of a text that is above its signature: all of it if it has none."""
    return text.removesuffix(_block(signature))


def signed_instead(text: str, old: str, new: str) -> str:
    """Return a text with the signature of another account in place of the one that it has.

    A signature that the user has changed or removed stays as it is.

    @param old: the signature of the account that the text was written for; "" for none.
    @param new: that of the account that sends it.
    """
    if not old:
        return text if text.endswith(_block(new)) else signed(text, new)
    before, found, after = text.rpartition(_block(old).rstrip("\n"))
    # The signature ends where its last line does.
    if not found or (after and not after.startswith("\n")):
        return text
    return before + _block(new).rstrip("\n") + after
