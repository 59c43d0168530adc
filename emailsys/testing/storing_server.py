"""The mail server of `emailsys catch`: one whose mail lies in a store, which the web face and the HTTP API read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.cred.portal import Portal
from typing_extensions import override

from emailsys.config.settings import StoreSettings
from emailsys.interfaces import IIntake
from emailsys.mail.envelope import Envelope
from emailsys.store.open import Opening, Store, open_store
from emailsys.testing.server import HOSTNAME, CatchServer
from emailsys.testing.stored_keeping import CapturingIntake, StoredBoxes, open_portal
from emailsys.testing.trimming import Trimming


@dataclass(frozen=True, slots=True)
class StoredKeeping:
    """A store with the accounts and the portal of a mail server for tests."""

    store: Store
    boxes: StoredBoxes
    portal: Portal
    intake: IIntake


class StoringServer(CatchServer):
    """A mail server that accepts everything, keeps it in a store and sends nothing on."""

    def __init__(
        self,
        reactor: Any,
        *,
        state: Path | None = None,
        most_octets: int = 0,
        most_messages: int = 0,
        tls_names: Sequence[str] | None = None,
    ) -> None:
        """As `CatchServer`; the limits count for the store, too.

        @param state: the folder of the store; None for a temporary one that is removed at the end.
        """
        super().__init__(reactor, most_octets=most_octets, most_messages=most_messages, tls_names=tls_names)
        self._state = state
        self._is_bounded = bool(most_octets or most_messages)
        self._store: Store | None = None
        self._trimming: Trimming | None = None
        self._keeping: StoredKeeping | None = None

    @property
    def keeping(self) -> StoredKeeping:
        """The store and its accounts, once the server has started."""
        assert self._keeping is not None
        return self._keeping

    @override
    def folder(self) -> Path:
        """Return the folder of the store."""
        return super().folder() if self._state is None else self._state

    @override
    async def open_keeping(self) -> StoredKeeping:
        """Open the store.

        @raise StoreError: the store cannot be opened.
        """
        store = self._store = open_store(
            StoreSettings(),
            self.folder(),
            self.reactor,
            self.telemetry,
            Opening(create=True, sweep=self._is_bounded),
        )
        if self._is_bounded:
            self._trimming = Trimming(self.reactor, store, self.inbox, self.telemetry)
        boxes = StoredBoxes(store)
        await boxes.open()
        self._keeping = StoredKeeping(
            store, boxes, open_portal(boxes, store, HOSTNAME), CapturingIntake(store.intake, self.captured)
        )
        return self._keeping

    @override
    async def close_keeping(self) -> None:
        """Close the store."""
        trimming, self._trimming = self._trimming, None
        if trimming is not None:
            await trimming.stop()
        store, self._store = self._store, None
        if store is not None:
            await store.close()

    @override
    def captured(self, queue_id: str, envelope: Envelope, raw: bytes) -> None:
        """Add a message that was committed to the inbox, and let the store forget what the inbox has dropped."""
        super().captured(queue_id, envelope, raw)
        if self._trimming is not None:
            self._trimming.look()
