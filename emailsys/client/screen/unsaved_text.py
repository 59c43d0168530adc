"""Interface of screens that hold text which must not be lost when the program ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from emailsys.client.base.edited_file import EditedFile


@runtime_checkable
class UnsavedText(Protocol):
    """A screen with text. The program asks it before it ends; it need not import the screen for that."""

    async def save_if_changed(self) -> bool:
        """Save the text if it changed. Returns whether it is safe now."""
        ...

    def ask_to_leave(self) -> None:
        """Ask whether to leave without saving."""
        ...

    async def keep(self) -> None:
        """Save the text without asking."""
        ...

    def keep_at_once(self) -> str:
        """Save the text without the event loop. Returns what was done, for the user."""
        ...


def keep_in(file: EditedFile, words: str) -> str:
    """Write text into a file. Return a sentence for the user about where it is."""
    try:
        file.write(words)
    except OSError as error:
        return f"The text cannot be kept in {file.path} either: {error.strerror}."
    return f"The text is kept in {file.path}."
