"""Check of access tokens of the HTTP API, under the same limits as logins with passwords."""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Final

from twisted.cred.error import UnauthorizedLogin

from emailsys.interfaces.operators import ITokens, TokenRow
from emailsys.mail.ip import client_network
from emailsys.policy.failed_logins import FailedLogins
from emailsys.tokens import read_token

# Pairs of a network and a token that was valid there: 1 MB when full.
_MAX_REMEMBERED: Final = 10_000


class TokenCheck:
    """Checks tokens. A removed or expired token, and one whose account is disabled, is refused at the next request."""

    def __init__(self, tokens: ITokens, now: Callable[[], datetime], failed_logins: FailedLogins | None) -> None:
        """@param failed_logins: those of all logins; None if guesses have no limit."""
        self._tokens = tokens
        self._now = now
        self._failed_logins = failed_logins
        # Others in the same network cannot lock out a client whose token was valid there. The least recently used pair
        # is first.
        self._proven: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    async def check(self, text: str, ip: str) -> TokenRow:
        """Return the token with this text.

        @param ip: the address of the client.
        @raise UnauthorizedLogin: the token is not valid.
        @raise TooManyGuesses: the client's network has too many failed logins.
        @raise LoginBusy: too many logins wait.
        @raise StoreError: the store cannot answer.
        """
        asked = read_token(text)
        found = None if asked is None else await self._tokens.find(asked[0])
        # An unknown id costs the same comparison.
        expected, given = (b"\0" * 32 if found is None else found[1]), (b"" if asked is None else asked[1])
        is_right = hmac.compare_digest(expected, given) and found is not None
        if found is not None and (not found[0].is_enabled or found[0].has_expired(self._now())):
            is_right = False
        pair = (client_network(ip), expected)
        if is_right and pair in self._proven:
            self._proven.move_to_end(pair)
        elif not await self._within_limits(text, ip, is_right):
            raise UnauthorizedLogin("the token is not valid")
        assert found is not None
        self._proven[pair] = None
        if len(self._proven) > _MAX_REMEMBERED:
            self._proven.popitem(last=False)
        return found[0]

    async def _within_limits(self, text: str, ip: str, is_right: bool) -> bool:
        if self._failed_logins is None:
            return is_right

        async def verify() -> bool:
            return is_right

        # A token that was refused may become valid, when its account is enabled again. So the result is in the digest
        # by which a repeated wrong token is recognised.
        digest = hashlib.sha256(b"token\0%d\0%b" % (is_right, text.encode("utf-8", "surrogateescape"))).digest()
        return await self._failed_logins.verify(None, ip, digest, verify)
