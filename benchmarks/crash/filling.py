"""Fill a store with many messages quickly, by SMTP."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence

from benchmarks.crash.clients import Smtp, stuffed
from benchmarks.crash.node import Node
from benchmarks.crash.texts import make_text


def fill(
    node: Node,
    sender: str,
    recipients: Sequence[str],
    messages: int,
    octets: int = 1000,
    sessions: int = 8,
    each: int = 1,
) -> None:
    """Submit messages over several sessions at once.

    @param each: the recipients of one message, taken from the list in turn.
    """
    share = [messages // sessions + (number < messages % sessions) for number in range(sessions)]
    failures: list[BaseException] = []

    def work(number: int) -> None:
        chance = random.Random(number)
        text = stuffed(make_text(f"fill{number}", octets, chance)) + b".\r\n"
        try:
            with Smtp(node, "submission", timeout=300) as smtp:
                smtp.login(sender)
                for count in range(share[number]):
                    place = (number + count * sessions) * each
                    some = [recipients[(place + step) % len(recipients)] for step in range(each)]
                    smtp.say(smtp.envelope(sender, some) + b"DATA\r\n")
                    for _ in range(1 + len(some)):
                        smtp.expect(b"250")
                    smtp.expect(b"354")
                    smtp.say(text)
                    smtp.expect(b"250")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
