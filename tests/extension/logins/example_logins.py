"""Checks passwords by the database of a web application."""

from hashlib import scrypt
from hmac import compare_digest
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.enterprise.adbapi import ConnectionPool
from twisted.internet.defer import Deferred
from zope.interface import implementer

from emailsys.extension import CheckContext


@implementer(ICredentialsChecker)
class Members:
    """`plugin:members:FILE` accepts the members in an SQLite database."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, context: CheckContext) -> None:
        if not context.argument:
            raise ValueError("name the database, as in plugin:members:/srv/site/members.sqlite")
        self._pool = ConnectionPool("sqlite3", context.argument, check_same_thread=False, cp_reactor=context.reactor)

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        address = credentials.username.decode()
        found: Deferred[Any] = self._pool.runInteraction(self._check, address, credentials.password)
        return found

    def _check(self, cursor: Any, address: str, password: bytes) -> str:
        cursor.execute("SELECT salt, hash FROM members WHERE address = ?", (address,))
        row = cursor.fetchone()
        if row is None or not compare_digest(scrypt(password, salt=row[0], n=2**14, r=8, p=1), row[1]):
            raise UnauthorizedLogin("login failed")
        return address
