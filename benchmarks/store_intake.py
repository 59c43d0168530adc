"""How many messages a second the store accepts and gives back, durably, without any protocol.

python -m benchmarks.store_intake [--url URL] [--writers 50] [--octets 4096] [--messages 40000] [--accounts 200]
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, gatherResults

from emailsys.config.settings import StoreSettings
from emailsys.mail.address import Address
from emailsys.mail.envelope import Client, Envelope, LocalRoute, Recipient
from emailsys.store.open import Opening, Store, open_store
from emailsys.telemetry import Telemetry


async def accept(store: Store, count: int, octets: int, accounts: list[int], waits: list[float]) -> None:
    """Send `count` messages, one after the other."""
    body = os.urandom(octets // 2).hex().encode()[: octets - 2] + b"\r\n"
    sender = Address("sender", "example.org")
    client = Client(f"s{os.urandom(4).hex()}", "192.0.2.1", "client.example.org", "ESMTPS", "TLSv1.3")
    for number in range(count):
        account = accounts[(number * 7919 + len(waits)) % len(accounts)]
        recipient = Recipient(Address("user", "example.test"), (LocalRoute(account),))
        began = time.perf_counter()
        incoming = store.intake.begin()
        pause = incoming.write(body)
        if pause is not None:
            await pause
        message_id = f"<{number}.{incoming.queue_id}@client.example.org>"
        envelope = Envelope(sender, (recipient,), datetime.now(UTC), client=client, message_id=message_id)
        await incoming.commit(envelope)
        waits.append(time.perf_counter() - began)


async def fetch(store: Store, account_id: int) -> int:
    """Fetch a whole maildrop in order; returns the number of messages."""
    maildrop = await store.maildrops.open(account_id)
    count = len(maildrop.listMessages())
    for index in range(count):
        async for _piece, _dots in maildrop.pieces(index):
            pass
    maildrop.release()
    return count


def cpu() -> float:
    """Seconds of CPU of this process, all threads."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(arguments: argparse.Namespace, folder: Path) -> None:
    """Both directions, once."""
    store = open_store(StoreSettings(url=arguments.url), folder, reactor, Telemetry(), Opening(create=True))  # type: ignore[arg-type]
    await store.accounts.add_domain("example.test", Address("user0", "example.test"))
    accounts = []
    for number in range(arguments.accounts):
        address = Address(f"user{number}", "example.test")
        await store.accounts.add_user(address, [])
        account = await store.directory.find_address(*address.key)
        assert account is not None
        accounts.append(account.account_id)
    waits: list[float] = []
    each = arguments.messages // arguments.writers
    batches, began, used = store.database.batches, time.perf_counter(), cpu()
    await gatherResults(
        [
            Deferred.fromCoroutine(accept(store, each, arguments.octets, accounts, waits))
            for _ in range(arguments.writers)
        ]
    )
    took, used, batches = time.perf_counter() - began, cpu() - used, store.database.batches - batches
    waits.sort()
    count = len(waits)
    print(
        f"accept: {count / took:,.0f} messages/s, {used / count * 1e6:.0f} us CPU a message, "
        f"{count / batches:.1f} messages a commit, p50 {waits[count // 2] * 1e3:.1f} ms, "
        f"p99 {waits[count * 99 // 100] * 1e3:.1f} ms"
    )
    began, used, fetched = time.perf_counter(), cpu(), 0
    for account_id in accounts:
        fetched += await fetch(store, account_id)
    took, used = time.perf_counter() - began, cpu() - used
    print(f"fetch: {fetched / took:,.0f} messages/s, {used / fetched * 1e6:.0f} us CPU a message")
    await store.close()


def main() -> None:
    """Run it in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url")
    parser.add_argument("--writers", type=int, default=50)
    parser.add_argument("--octets", type=int, default=4096)
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        task.react(lambda _reactor: Deferred.fromCoroutine(measure(arguments, Path(folder))))


if __name__ == "__main__":
    main()
