"""Log in by twisted.cred: from a name and a password to an account, from an account to what it may use."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.cred.checkers import ANONYMOUS, AllowAnonymousAccess, ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from twisted.mail import pop3, smtp
from twisted.python.failure import Failure
from zope.interface import implementer

from emailsys.interfaces import (
    Account,
    IDelivery,
    IDirectory,
    IMaildrop,
    IMaildrops,
    IProvenName,
    ISecrets,
    Login,
    MaildropInUse,
    StoreError,
)
from emailsys.mail.address import AddressSyntaxError, parse
from emailsys.passwords import ARGON2ID
from emailsys.policy.access import Access, Delivery
from emailsys.policy.password_renewal import Renewal

# A digest of 32 octets each: 2 MB when full.
_MAX_REMEMBERED: Final = 10_000

Avatar = tuple[Any, Any, Callable[[], None]]


async def find_login(directory: IDirectory, name: bytes) -> Login | None:
    """The account of a login name: a full address, or a local part in the default domain."""
    try:
        text = name.decode("utf-8")
        if "@" not in text:
            text = f"{text}@{await directory.default_domain()}"
        address = parse(text)
    except (UnicodeDecodeError, AddressSyntaxError):
        return None
    return await directory.find_login(address.key)


class Hashing(Protocol):
    """Who does the work; `emailsys.policy.hashing_threads` off the reactor's thread."""

    def verify(self, stored: str | None, password: str) -> Deferred[bool]:
        """Whether it fits; the Deferred fails with LoginBusy where too many wait."""


class VerifiedLogins:
    """Which passwords were found right, so that a client that comes every minute costs no hashing.

    Passwords are not kept: a digest under a key of this process stands for account, stored hash and password together,
    so that a changed password is forgotten by itself. The oldest go first.
    """

    def __init__(self, most: int = _MAX_REMEMBERED) -> None:
        self._key = secrets.token_bytes(32)
        self._most = most
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def digest(self, account: Account, stored: str, password: bytes) -> bytes:
        """What stands for the three."""
        return hmac.digest(self._key, b"%d\0%b\0%b" % (account.account_id, stored.encode(), password), "sha256")

    def remember(self, digest: bytes) -> None:
        """The password was right."""
        self._digests[digest] = None
        if len(self._digests) > self._most:
            self._digests.popitem(last=False)

    def __contains__(self, digest: bytes) -> bool:
        if digest not in self._digests:
            return False
        self._digests.move_to_end(digest)
        return True

    def __len__(self) -> int:
        return len(self._digests)


@implementer(ICredentialsChecker)
class PasswordChecker:
    """From a name and a password, octets both, to an Account.

    An unknown user, a disabled account and a wrong password cost one verification each and fail alike.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(
        self, directory: IDirectory, hashing: Hashing, verified: VerifiedLogins, renewal: Renewal | None = None
    ) -> None:
        """@param renewal: None for hashes that stay as they are."""
        self._directory, self._hashing, self._verified = directory, hashing, verified
        self._renewal = renewal

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """The Account. Fails with UnauthorizedLogin, LoginBusy or StoreError."""
        return Deferred.fromCoroutine(self._check(credentials.username, credentials.password))

    async def _check(self, name: bytes, password: bytes) -> Account:
        login = await find_login(self._directory, name)
        stored = None if login is None or not login.account.enabled else login.secret(ARGON2ID)
        digest = b""
        if login is not None and stored is not None:
            digest = self._verified.digest(login.account, stored, password)
            if digest in self._verified:
                return login.account
        # Octets that are no UTF-8 become what no password may hold, and cost the same work as a wrong one.
        text = password.decode("utf-8", "surrogateescape")
        fits = await self._hashing.verify(stored, text)
        if login is None or stored is None or not fits:
            raise UnauthorizedLogin("login failed")
        # What is about to be replaced is not worth remembering; and if it is not replaced, the next login tries again.
        if self._renewal is None or not self._renewal.begin(login.account, stored, text):
            self._verified.remember(digest)
        return login.account


@implementer(ISecrets, ICredentialsChecker)
class StoredSecrets:
    """Secrets for SASL mechanisms that verify a proof themselves, and from a proven name to an Account."""

    credentialInterfaces = (IProvenName,)

    def __init__(self, directory: IDirectory) -> None:
        self._directory = directory

    async def find_secret(self, name: bytes, scheme: str) -> str | None:
        login = await find_login(self._directory, name)
        return None if login is None or not login.account.enabled else login.secret(scheme)

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """The Account. Fails with UnauthorizedLogin or StoreError."""
        return Deferred.fromCoroutine(self._check(credentials.username))

    async def _check(self, name: bytes) -> Account:
        login = await find_login(self._directory, name)
        # The account may have been disabled since its secret was read.
        if login is None or not login.account.enabled:
            raise UnauthorizedLogin("login failed")
        return login.account


@implementer(IRealm)
class MailRealm:
    """From an Account, or from nobody, to an IDelivery or an opened IMaildrop."""

    def __init__(self, access: Access, maildrops: IMaildrops) -> None:
        self._access, self._maildrops = access, maildrops

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        """An avatar for the first of the interfaces that there is one for, and what ends its login."""
        account = None if avatarId is ANONYMOUS else avatarId
        for interface in interfaces:
            if interface in (IDelivery, smtp.IMessageDelivery):
                return interface, Delivery(self._access, account), _nothing_to_end
            if interface in (IMaildrop, pop3.IMailbox) and account is not None:
                return self._open(interface, account)
        raise UnauthorizedLogin("no mail service for this login")

    def _open(self, interface: Any, account: Account) -> Deferred[Avatar]:
        """Open the maildrop. When the login is cancelled meanwhile, its lock is given back at once."""
        abandoned = False

        def cancel(_: Deferred[Avatar]) -> None:
            nonlocal abandoned
            abandoned = True

        answer: Deferred[Avatar] = Deferred(cancel)

        def opened(maildrop: IMaildrop) -> None:
            if abandoned:
                maildrop.release()
            else:
                answer.callback((interface, maildrop, maildrop.release))

        def failed(failure: Failure) -> Failure | None:
            if not abandoned:
                answer.errback(failure)
                return None
            # Nobody waits for the answer; what is no refusal is still worth a line in the log.
            return None if isinstance(failure.value, MaildropInUse | StoreError) else failure

        _ = Deferred.fromCoroutine(self._maildrops.open(account.account_id)).addCallbacks(opened, failed)
        return answer


def _nothing_to_end() -> None:
    """An SMTP login holds nothing."""


def build_portal(
    directory: IDirectory, maildrops: IMaildrops, hashing: Hashing, access: Access, renewal: Renewal | None = None
) -> Portal:
    """The portal of all services: Anonymous, UsernamePassword and ProvenName in, IDelivery and IMaildrop out.

    @param renewal: None for stored passwords that stay as they are.
    """
    realm = MailRealm(access, maildrops)
    passwords = PasswordChecker(directory, hashing, VerifiedLogins(), renewal)
    return Portal(realm, [AllowAnonymousAccess(), passwords, StoredSecrets(directory)])
