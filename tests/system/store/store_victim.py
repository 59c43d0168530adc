"""A process that accepts mail until it is killed, and prints the id of each acknowledged message."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from emailsys.config.settings import StoreSettings
from emailsys.mail.address import Address
from emailsys.mail.envelope import Envelope, LocalRoute, Recipient
from emailsys.store.open import Opening, Store, open_store
from emailsys.telemetry import Telemetry


async def accept(store: Store, account_id: int, octets: int) -> None:
    """One message after the other, for ever. Each begins with its own queue id."""
    recipient = Recipient(Address("alice", "example.test"), (LocalRoute(account_id),))
    while True:
        incoming = store.intake.begin()
        for chunk in (incoming.queue_id.encode() + b"\r\n", b"x" * octets):
            pause = incoming.write(chunk)
            if pause is not None:
                await pause
        await incoming.commit(Envelope(None, (recipient,), datetime.now(UTC)))
        print(incoming.queue_id, flush=True)


def main() -> None:
    """Twenty senders of small messages, two of large ones. Arguments: the state folder, the account's id."""
    real: Any = reactor
    store = open_store(StoreSettings(), Path(sys.argv[1]), real, Telemetry(), Opening(create=True))
    kept = [Deferred.fromCoroutine(accept(store, int(sys.argv[2]), 2000)) for _ in range(20)]
    kept += [Deferred.fromCoroutine(accept(store, int(sys.argv[2]), 900_000)) for _ in range(2)]
    real.run()


if __name__ == "__main__":
    main()
