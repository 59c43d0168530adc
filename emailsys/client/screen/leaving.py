"""Leaving the full screen while mail is on hold or being sent."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label
from typing_extensions import override

from emailsys.client.screen.dialogs import ConfirmDialog
from emailsys.client.screen.key_order import Question
from emailsys.client.screen.outbox_actions import OutboxActions
from emailsys.client.screen.survival import Surviving

_HELD: Final = "A message is on hold. It stays in the outbox if you leave. Leave?"
_SENDING: Final = "A message is being sent. Waiting for the last reply of the server ..."
_UNKNOWN: Final = (
    "A message was still being sent, and may have arrived. To see what became of it: emailsys mail outbox list"
)


class SendingDialog(Question, Surviving, ModalScreen[bool]):
    """Waits until no message is being sent. Those on hold stay in the outbox. The result is whether to leave."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "dismiss(True)", "Leave now"),
        Binding("escape,n", "dismiss(False)", "Stay"),
    ]

    def __init__(self, outbox_actions: OutboxActions) -> None:
        super().__init__()
        self._outbox_actions = outbox_actions

    @override
    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(_SENDING, markup=False, classes="title")
            yield Label("q leaves now: then nobody knows whether it arrived. Esc stays.", markup=False, classes="hint")

    def on_mount(self) -> None:
        """Begin to wait."""
        self.run_worker(self.guarded(self._wait))

    async def _wait(self) -> None:
        before = self._outbox_actions.failures
        await self._outbox_actions.wait_until_sent()
        if self.is_current:
            self.dismiss(before == self._outbox_actions.failures)


async def leave_is_safe(app: App[None], outbox_actions: OutboxActions) -> bool:
    """Ask about a message on hold, and wait for the outcome of one that is being sent.

    @return: False to stay: the user wants to, or a message was not sent, which the screen shows.
    """
    if outbox_actions.is_holding and not await app.push_screen_wait(ConfirmDialog(_HELD)):
        return False
    if not outbox_actions.is_transmitting:
        return True
    leaves: bool = await app.push_screen_wait(SendingDialog(outbox_actions))
    return leaves


def unknown_outcome(outbox_actions: OutboxActions) -> str | None:
    """Return the words for a user who leaves while a message is being sent; None if none is."""
    return _UNKNOWN if outbox_actions.is_transmitting else None
