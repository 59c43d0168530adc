"""Words for how a draft is protected: `sign`, `encrypt` and `encrypt-when-possible`."""

from __future__ import annotations

from typing import Final

from emailsys.client.accounts.values import Encrypt
from emailsys.client.compose.draft import ComposeError, Draft

_ENCRYPT: Final = {Encrypt.ALWAYS: "encrypt", Encrypt.WHEN_POSSIBLE: "encrypt-when-possible"}


def protection_words(draft: Draft) -> str:
    """Return the words for a draft, "" if it is neither to be signed nor to be encrypted."""
    words = ["sign"] if draft.sign else []
    if draft.encrypt is not Encrypt.NEVER:
        words.append(_ENCRYPT[draft.encrypt])
    return " ".join(words)


def set_protection(draft: Draft, words: str) -> None:
    """Set the protection of a draft from words. @raise ComposeError: a word is unknown."""
    sign, encrypt = False, Encrypt.NEVER
    for word in words.lower().replace(",", " ").split():
        found = [kind for kind, name in _ENCRYPT.items() if name == word]
        if word != "sign" and not found:
            raise ComposeError(f"Protect: {word!r} is unknown. Write sign, encrypt or encrypt-when-possible.")
        sign = sign or word == "sign"
        encrypt = found[0] if found else encrypt
    draft.sign, draft.encrypt = sign, encrypt
