"""A shop that has a mail system in its own process, and confirms orders by mail."""

from io import BytesIO

from twisted.application.service import MultiService
from twisted.mail.smtp import sendmail

from emailsys.daemon import Options, makeService


def make_shop(folder: str) -> MultiService:
    shop = MultiService()
    options = Options()
    options.parseOptions(["--config", f"{folder}/emailsys.toml", "--state", f"{folder}/mail"])
    makeService(options).setServiceParent(shop)
    return shop


async def confirm(order: int, customer: str, host: str, port: int) -> None:
    letter = BytesIO(b"From: shop@example.com\nSubject: Order %d\n\nThank you.\n" % order)
    await sendmail(host, "shop@example.com", [customer], letter, port=port)
