"""Actions of the main screen that are imported when a key asks for them: the first picture does not wait for them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emailsys.client.mailbox import UserMailbox
    from emailsys.client.screen.attachment_actions import AttachmentActions
    from emailsys.client.screen.contact_actions import ContactActions
    from emailsys.client.screen.invitation_actions import InvitationActions
    from emailsys.client.screen.managing_actions import ManagingActions
    from emailsys.client.screen.message_actions import MessageActions
    from emailsys.client.screen.opening_actions import OpeningActions
    from emailsys.client.screen.outbox_actions import OutboxActions
    from emailsys.client.screen.panes import Panes
    from emailsys.client.screen.reading import ReadingActions
    from emailsys.client.screen.selection_actions import SelectionActions
    from emailsys.client.screen.sending_on import SendingOnActions


class LateActions:
    """The actions on the messages of a screen, each made when it is first used."""

    def __init__(self, mailbox: UserMailbox, screen: Panes, outbox: OutboxActions) -> None:
        self._mailbox = mailbox
        self._screen = screen
        self._outbox = outbox

    @cached_property
    def attachments(self) -> AttachmentActions:
        """Save, open and pipe attachments."""
        from emailsys.client.screen.attachment_actions import AttachmentActions

        return AttachmentActions(self._mailbox, self._screen)

    @cached_property
    def opening(self) -> OpeningActions:
        """Give links, HTML and messages to other programs."""
        from emailsys.client.screen.opening_actions import OpeningActions

        return OpeningActions(self._mailbox, self._screen, self.attachments, self._outbox)

    @cached_property
    def reading(self) -> ReadingActions:
        """Show messages in the reader."""
        from emailsys.client.screen.reading import ReadingActions

        return ReadingActions(self._mailbox, self._screen, self.attachments)

    @cached_property
    def invitations(self) -> InvitationActions:
        """Answer invitations."""
        from emailsys.client.screen.invitation_actions import InvitationActions

        return InvitationActions(self._mailbox, self._screen, self._outbox)

    @cached_property
    def messages(self) -> MessageActions:
        """Delete, move, mark and tag messages."""
        from emailsys.client.screen.message_actions import MessageActions

        return MessageActions(self._mailbox, self._screen)

    @cached_property
    def selection(self) -> SelectionActions:
        """Select messages, and act on the selection."""
        from emailsys.client.screen.selection_actions import SelectionActions

        return SelectionActions(self._mailbox, self._screen)

    @cached_property
    def sending_on(self) -> SendingOnActions:
        """Send messages on, and unsubscribe."""
        from emailsys.client.screen.sending_on import SendingOnActions

        return SendingOnActions(self._mailbox, self._screen, self._outbox, self.opening)

    @cached_property
    def managing(self) -> ManagingActions:
        """Change folders, try and apply rules, import and export."""
        from emailsys.client.screen.managing_actions import ManagingActions

        return ManagingActions(self._mailbox, self._screen, self.messages)

    @cached_property
    def contacts(self) -> ContactActions:
        """Keep contacts."""
        from emailsys.client.screen.contact_actions import ContactActions

        return ContactActions(self._mailbox, self._screen, self._outbox)
