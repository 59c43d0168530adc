"""A checkbox that shows its state without colours."""

from __future__ import annotations

from textual.widgets import Checkbox
from typing_extensions import override


class MarkedCheckbox(Checkbox):
    """A checkbox that shows its state without colours. Textual's own one differs only in colour."""

    BUTTON_INNER = " "

    @override
    def watch_value(self) -> None:
        self.BUTTON_INNER = "X" if self.value else " "
        super().watch_value()
