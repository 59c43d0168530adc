"""The attachments of the message that is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import BindingType
from textual.widgets import OptionList

from emailsys.client.screen.keys import ATTACHED
from emailsys.client.screen.survival import Surviving


class AttachmentList(Surviving, OptionList):
    """The list of attachments."""

    BINDINGS: ClassVar[list[BindingType]] = [key.binding() for key in ATTACHED]

    def __init__(self, remove: Callable[[int], None]) -> None:
        """@param remove: removes the attachment of this index from 0."""
        super().__init__(id="attachments", markup=False)
        self._removed = remove

    def action_detach(self) -> None:
        """Remove the highlighted attachment."""
        if self.highlighted is not None:
            self._removed(self.highlighted)
