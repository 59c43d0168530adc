"""Logins of browsers: kept here, found by a random cookie, ended by time, logout and a changed password."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from emailsys.interfaces import Account, IDirectory, PasswordId

# Sessions at the same time: each has about 2 KiB. Beyond that the one that was not used for the longest time ends.
_MAX_SESSIONS: Final = 10_000
#: Accounts in one session.
MAX_ACCOUNTS: Final = 10
# Octets of randomness.
_TOKEN_OCTETS: Final = 32
#: Seconds in which a one-time link can be used.
LINK_SECONDS: Final = 600.0
_MAX_LINKS: Final = 100


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """An account that a browser has logged in to.

    @ivar delivery: its IDelivery avatar, for what it sends.
    @ivar password_id: that of the password at the login. With another password the login is void.
    """

    account: Account
    delivery: Any
    password_id: PasswordId
    log_out: Callable[[], object] = field(compare=False, repr=False)


@dataclass(slots=True, eq=False)
class Session:
    """A browser, with the accounts that it has logged in to. Their numbers stand in addresses of pages."""

    token: str = field(repr=False)
    began: float
    used: float
    accounts: dict[int, LoggedIn] = field(default_factory=dict)

    @property
    def session_id(self) -> str:
        """The id in the log. The token cannot be derived from it."""
        return hashlib.sha256(self.token.encode()).hexdigest()[:12]


class Sessions:
    """The sessions of all browsers."""

    def __init__(self, clock: IReactorTime, directory: IDirectory, idle_timeout: float, session_timeout: float) -> None:
        self._clock = clock
        self._directory = directory
        self._idle, self._longest = idle_timeout, session_timeout
        # The least recently used is first.
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._links: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._key = secrets.token_bytes(_TOKEN_OCTETS)

    def __len__(self) -> int:
        return len(self._sessions)

    def knows(self, token: str) -> bool:
        """Whether a token belongs to a session. Does not count as a use."""
        return token in self._sessions

    async def find(self, token: str) -> Session | None:
        """Return the session of a cookie, without the accounts whose logins have become void; None if there is none.

        @raise StoreError: the accounts cannot be looked up now.
        """
        session = self._sessions.get(token)
        if session is None:
            return None
        now = self._clock.seconds()
        if now - session.used > self._idle or now - session.began > self._longest:
            self.end(session)
            return None
        for number, one in tuple(session.accounts.items()):
            login = await self._directory.find_login(one.account.address.key)
            if login is None or not login.account.enabled or login.password_id != one.password_id:
                self.leave(session, number)
        if self._sessions.get(token) is not session:
            return None
        session.used = now
        self._sessions.move_to_end(token)
        return session

    def enter(self, before: Session | None, login: LoggedIn) -> tuple[Session, int]:
        """Add an account to a browser's session, or begin one. Returns the session and the number of the account.

        The session gets a new token, so that a token planted in the browser by an attacker is worth nothing.
        """
        now = self._clock.seconds()
        session = Session(secrets.token_urlsafe(_TOKEN_OCTETS), now, now)
        if before is not None and self._sessions.pop(before.token, None) is not None:
            session.accounts = before.accounts
        number = next(
            (n for n, one in session.accounts.items() if one.account.account_id == login.account.account_id), None
        )
        if number is None:
            number = next(n for n in range(len(session.accounts) + 1) if n not in session.accounts)
        else:
            session.accounts[number].log_out()
        session.accounts[number] = login
        self._sessions[session.token] = session
        while len(self._sessions) > _MAX_SESSIONS:
            self.end(next(iter(self._sessions.values())))
        return session, number

    def leave(self, session: Session, number: int) -> None:
        """Log out of one account. The session ends with its last one."""
        one = session.accounts.pop(number, None)
        if one is not None:
            one.log_out()
        if not session.accounts:
            self.end(session)

    def end(self, session: Session) -> None:
        """Log out of all accounts, and forget the session."""
        if self._sessions.pop(session.token, None) is None:
            return
        for one in session.accounts.values():
            one.log_out()
        session.accounts.clear()

    def proof(self, token: str) -> str:
        """Return the CSRF token that belongs to a cookie. It stands in each form of that browser."""
        return hmac.new(self._key, token.encode(), hashlib.sha256).hexdigest()

    def is_proven(self, token: str, proof: str) -> bool:
        """Whether a form was served to the browser that sent this cookie."""
        return bool(token) and hmac.compare_digest(self.proof(token).encode(), proof.encode("utf-8", "replace"))

    def make_link(self, name: str) -> str:
        """Return the path of a link that logs in once, without a password, to the account with this login name."""
        token = secrets.token_urlsafe(_TOKEN_OCTETS)
        self._links[token] = name, self._clock.seconds() + LINK_SECONDS
        while len(self._links) > _MAX_LINKS:
            self._links.popitem(last=False)
        return f"/once/{token}"

    def use_link(self, token: str) -> str | None:
        """Return the login name of a link, which is void from then on. None if it is unknown, used or too old."""
        name, ends = self._links.pop(token, ("", 0.0))
        return name if name and self._clock.seconds() < ends else None


def new_token() -> str:
    """Return a token for the cookie of a browser without a session, to which its CSRF token belongs."""
    return secrets.token_urlsafe(_TOKEN_OCTETS)
