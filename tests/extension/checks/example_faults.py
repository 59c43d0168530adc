"""A check with the faults that plugins have. The local part of the sender names the fault."""

import time

from twisted.internet.task import deferLater

from emailsys.extension import CheckContext, PolicyCheck, Transaction, Verdict


class Faulty(PolicyCheck):
    """Raises, blocks, or takes for ever."""

    def __init__(self, context: CheckContext) -> None:
        self._reactor = context.reactor

    async def sender(self, transaction: Transaction) -> Verdict | None:
        fault = transaction.sender.partition("@")[0]
        if fault == "raises":
            raise RuntimeError("a fault of the plugin")
        if fault == "blocks":
            time.sleep(0.2)  # noqa: ASYNC251  # the fault
        if fault == "stalls":
            await deferLater(self._reactor, 3600)
        return None
