"""Refuses messages about a word, and counts the lines of all others."""

from emailsys.extension import AddField, CheckContext, Defer, Message, PolicyCheck, Refuse, Transaction, Verdict


class Words(PolicyCheck):
    """`plugin:words:WORD` refuses messages with WORD in their subject."""

    def __init__(self, context: CheckContext) -> None:
        self.word = context.argument.lower()
        if not self.word:
            raise ValueError("name the word, as in plugin:words:lottery")

    async def recipient(self, transaction: Transaction, recipient: str) -> Verdict | None:
        if len(transaction.recipients) >= 10:
            return Defer("at most 10 recipients at a time", 452, "4.5.3")
        return None

    async def message(self, transaction: Transaction, message: Message) -> Verdict | None:
        if self.word in (message.field("Subject") or "").lower():
            return Refuse(f"no mail about {self.word}, please")
        lines = 0
        async for piece in message:
            lines += piece.count(b"\n")
        return AddField("X-Lines", str(lines))
