"""Serves Maildirs, which other programs fill."""

from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted.cred.portal import IRealm
from twisted.mail import pop3
from zope.interface import implementer

from emailsys.extension import CheckContext


class Folder(pop3.Mailbox):
    def __init__(self, folder: Path) -> None:
        self._files = sorted((*folder.glob("new/*"), *folder.glob("cur/*")), key=lambda file: file.name)

    def listMessages(self, i: int | None = None) -> Any:
        return [file.stat().st_size for file in self._files]

    def getMessage(self, i: int) -> Any:
        return self._files[i].open("rb")

    def getUidl(self, i: int) -> bytes:
        return sha256(self._files[i].name.partition(":")[0].encode()).hexdigest().encode()

    def deleteMessage(self, i: int) -> None:
        self._files[i].unlink(missing_ok=True)


@implementer(IRealm)
class Folders:
    """`plugin:folders:/srv/mail` serves alice@example.org the Maildir /srv/mail/alice@example.org."""

    def __init__(self, context: CheckContext) -> None:
        self._root = Path(context.argument)

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        return pop3.IMailbox, Folder(self._root / quote(avatarId, safe="@")), lambda: None
