"""Drafts on disk: saved atomically, with their Bcc recipients, so that they survive a crash."""

from __future__ import annotations

from datetime import datetime

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import DRAFTS, Addition, Flag, Folder
from emailsys.client.compose.draft import Draft
from emailsys.client.compose.message_builder import Protected, message, new_message_id
from emailsys.client.compose.reopened_draft import draft_of
from emailsys.client.crypto.opening import Opener


def draft_octets(draft: Draft, now: datetime, seal: Protected | None = None) -> bytes:
    """Encode a draft as a message that other mail programs can open. @raise ComposeError: an address is invalid."""
    message_id = draft.message_id or new_message_id(draft.sender.address if draft.sender else None, now)
    return message(draft, message_id, now, on_disk=True, protected=seal)


def save_draft(
    archive: Archive, account: str, draft: Draft, now: datetime, key: str | None = None, seal: Protected | None = None
) -> str:
    """Save a draft into the folder Drafts, and return its key.

    @param key: the saved draft to replace. If it is no longer in Drafts, such as in Trash, it stays as it is.
    @param seal: encrypts the draft.
    @raise ArchiveError: the draft was not saved. The previous version remains.
    """
    octets = draft_octets(draft, now, seal)
    drafts = Folder(account, DRAFTS)
    former = archive.get(key) if key is not None else None
    if former is None or former.folder.name != DRAFTS:
        return archive.add(Addition(octets, drafts, flags=Flag.SEEN))
    archive.replace(former.key, octets)
    if former.folder != drafts:
        # Another account was chosen in the meantime.
        archive.move([former.key], drafts)
    return former.key


def open_draft(archive: Archive, key: str, opener: Opener | None = None) -> Draft:
    """Open a message of the archive as a draft. @param opener: opens an encrypted one."""
    is_own = archive.get(key).folder.name == DRAFTS
    return draft_of(archive.octets(key), is_own, opener)
