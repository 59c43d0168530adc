"""The client's local store: files kept a second, first screen of a large folder, searches, addresses, a new index.

python -m benchmarks.archive [--messages 100000] [--octets 4096] [--senders 500] [--folder PATH]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.listing import Arrangement, Scope
from emailsys.client.archive.sorting import SortBy
from emailsys.client.archive.values import Addition, Folder
from emailsys.mail.trace_fields import date_time

ACCOUNT: Final = "user@example.test"
INBOX: Final = Folder(ACCOUNT, "Inbox")
BEGIN: Final = datetime(2020, 1, 1, tzinfo=UTC)
QUERIES: Final = (
    "hello",
    "w123",
    "w12 w77",
    "w1*",
    '"w5 w6"',
    "from:sender42",
    "subject:report w3",
    "hello has:attachment",
    "is:unread after:2023 before:2023-02",
    "hello -w4",
    "hello tag:nothing",
    "tag:nothing",
    "larger:1G",
    "hello folder:Sent",
    "w123 OR (w5 w6)",
    "w123 OR is:flagged",
    "nowhere",
)


#: What is typed of a name or an address.
TYPED: Final = ("s", "sender4", "example", "sender 7", "@ex", "nobody")


def message(number: int, arguments: argparse.Namespace, chance: random.Random) -> bytes:
    """A message of about that size, of words that occur about as often as words do."""
    octets, sender = arguments.octets, number % arguments.senders
    words: list[str] = ["hello"]
    size = 300
    while size < octets:
        word = f"w{int(chance.paretovariate(0.6)) % 50_000}"
        words.append(word)
        size += len(word) + 1
    lines = [" ".join(words[at : at + 12]) for at in range(0, len(words), 12)]
    return (
        f"From: Sender {sender} <sender{sender}@example.org>\r\nTo: {ACCOUNT}\r\n"
        f"Subject: report {number} of w{number % 100}\r\nMessage-ID: <{number}@example.org>\r\n"
        f"Date: {date_time(BEGIN + timedelta(minutes=25 * number))}\r\n"
        # Conversations of five messages, each of which answers the one before.
        + (f"References: <{number - 1}@example.org>\r\n" if number % 5 else "")
        + "\r\n"
        + "\r\n".join(lines)
        + "\r\n"
    ).encode()


def timed(act: Callable[[], object], times: int = 5) -> tuple[float, float]:
    """Median and worst of some runs, in milliseconds."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took), max(took)


def measure(arguments: argparse.Namespace, folder: Path) -> None:
    """All measures, one after the other."""
    chance = random.Random(1)
    archive = Archive(folder / "mail", lambda: datetime(2026, 1, 1, tzinfo=UTC))
    archive.add_account(ACCOUNT)
    single = [Addition(message(number, arguments, chance), INBOX) for number in range(200)]
    began = time.perf_counter()
    for addition in single:
        archive.add(addition)
    print(f"kept one by one: {len(single) / (time.perf_counter() - began):.0f} messages/s")
    kept = 0.0
    done = len(single)
    while done < arguments.messages:
        batch = [
            Addition(message(number, arguments, chance), INBOX, f"bench:{number}")
            for number in range(done, min(done + 500, arguments.messages))
        ]
        began = time.perf_counter()
        archive.add_many(batch)
        kept += time.perf_counter() - began
        done += len(batch)
    print(f"kept in batches of 500: {(done - len(single)) / kept:.0f} messages/s (each file synced)")
    archive.close()

    def open_and_list() -> None:
        opened = Archive(folder / "mail", lambda: datetime(2026, 1, 1, tzinfo=UTC))
        opened.folders()
        opened.list(INBOX, 100)
        opened.close()

    print("open, count and list the first screen of {}: {:.1f} ms, worst {:.1f}".format(done, *timed(open_and_list)))
    archive = Archive(folder / "mail", lambda: datetime(2026, 1, 1, tzinfo=UTC))
    print("list the first screen: {:.1f} ms, worst {:.1f}".format(*timed(lambda: archive.list(INBOX, 100))))
    for by in SortBy:
        for threads in (False, True):
            arrangement = Arrangement(by, threads=threads)
            for from_end in (False, True):
                page = partial(archive.page, Scope(folder=INBOX), arrangement, 200, from_end=from_end)
                words = f"by {by}{' as trees' if threads else ''}, {'last' if from_end else 'first'} page"
                print("{}: {:.1f} ms, worst {:.1f}".format(words, *timed(page)))
    for query in QUERIES:
        count = len(archive.search(query))
        median, worst = timed(partial(archive.search, query))
        print(f"search {query!r} ({count}): {median:.1f} ms, worst {worst:.1f}")
    for typed in TYPED:
        count = len(archive.people(typed))
        median, worst = timed(partial(archive.people, typed))
        print(f"people for {typed!r} ({count}): {median:.1f} ms, worst {worst:.1f}")
    if arguments.rebuild:
        began = time.perf_counter()
        archive.rebuild()
        print(f"index made anew: {time.perf_counter() - began:.1f} s")
    archive.close()


def main() -> None:
    """Measure in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--octets", type=int, default=4096)
    parser.add_argument("--senders", type=int, default=500)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--rebuild", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        measure(arguments, Path(folder))


if __name__ == "__main__":
    main()
