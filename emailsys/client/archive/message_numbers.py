"""Numbers of messages in the index: they sort by date, and are never used again."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from emailsys.client.archive.values import ORDER_BITS, order_of

_HERE: Final = "SELECT 1 FROM messages WHERE id = :id UNION ALL SELECT 1 FROM gone WHERE id = :id"


def new_numbers(connection: sqlite3.Connection, messages: Sequence[tuple[datetime, str]]) -> list[int]:
    """Return a number for each new message. They are not in use, and never were.

    @param messages: date and key of each message.
    """
    wanted = [order_of(date) | zlib.crc32(key.encode()) >> (32 - ORDER_BITS) for date, key in messages]
    rows = connection.execute(
        """SELECT id FROM messages WHERE id IN (SELECT value FROM json_each(:ids))
        UNION ALL SELECT id FROM gone WHERE id IN (SELECT value FROM json_each(:ids))""",
        {"ids": json.dumps(wanted)},
    )
    taken = {number for (number,) in rows}
    numbers = []
    for number, (date, key) in zip(wanted, messages, strict=True):
        attempt = 0
        while number in taken or (attempt and connection.execute(_HERE, {"id": number}).fetchone()):
            # Many programs give all their messages the same date. The range of the numbers doubles with each attempt,
            # so that a free one is found soon.
            attempt += 1
            bits = ORDER_BITS + attempt // 2
            number = order_of(date) + (zlib.crc32(f"{attempt} {key}".encode()) & (1 << bits) - 1)
        taken.add(number)
        numbers.append(number)
    return numbers
