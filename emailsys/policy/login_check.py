"""Check of logins by twisted.cred: passwords, proofs of SASL mechanisms, and the realm from an account to an avatar."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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
    LoginUnchecked,
    MaildropInUse,
    PasswordId,
    StoreError,
)
from emailsys.mail.address import Address, AddressSyntaxError, parse
from emailsys.passwords import ARGON2ID, IMPORTED
from emailsys.policy.access import Access, Delivery
from emailsys.policy.password_renewal import Renewal

# Maximum number of digests, of 32 octets each: 2 MB when full.
_MAX_REMEMBERED: Final = 10_000

Avatar = tuple[Any, Any, Callable[[], None]]


async def login_address(directory: IDirectory, name: bytes) -> Address | None:
    """Return the address of a login name, or None. The name is an address, or a local part in the default domain."""
    try:
        text = name.decode("utf-8")
        if "@" not in text:
            text = f"{text}@{await directory.default_domain()}"
        return parse(text)
    except (UnicodeDecodeError, AddressSyntaxError):
        return None


async def find_login(directory: IDirectory, name: bytes) -> Login | None:
    """Return the account of a login name, see `login_address`, or None."""
    address = await login_address(directory, name)
    return None if address is None else await directory.find_login(address.key)


def _hash_of(login: Login) -> tuple[str, str] | None:
    """Return scheme and hash of an account's password. An imported hash is used until the first login renews it."""
    for scheme in (ARGON2ID, IMPORTED):
        stored = login.secret(scheme)
        if stored is not None:
            return scheme, stored
    return None


class Hashing(Protocol):
    """Verification of passwords. `emailsys.policy.hashing_threads` does it off the reactor's thread."""

    def verify(self, stored: str | None, password: str) -> Deferred[bool]:
        """Return a Deferred of whether the password matches. It fails with LoginBusy if the queue is full."""


class GuessLimits(Protocol):
    """Limits for guessing passwords, such as `emailsys.policy.failed_logins`."""

    async def verify(
        self, password: PasswordId | None, ip: str, digest: bytes, verify: Callable[[], Awaitable[bool]]
    ) -> bool:
        """Verify a login within the limits."""


class OutsideCheck(Protocol):
    """Check of passwords by other systems, such as `emailsys.policy.outside_logins`."""

    def dated(self, digest: bytes) -> bytes:
        """Return a digest of the digest and of the time: another system does not tell that a password was changed."""

    async def account_of(
        self, name: bytes, password: bytes, ip: str, local: Callable[[], Awaitable[Account | None]]
    ) -> Account | None:
        """Return the account that a name and a password open, or None.

        @param local: checks the password that is stored here.
        """


class OutsideMailboxes(Protocol):
    """Mailboxes of another system, such as `emailsys.policy.mailboxes.opening`."""

    async def open(self, account: Account) -> IMaildrop:
        """Open the mailbox of an account as its maildrop. Raises as `IMaildrops.open` does, or StoreError."""


class VerifiedLogins:
    """Cache of verified passwords, so that a client that polls every minute causes no hashing.

    The cache holds no passwords. A digest under a key of this process covers account, stored hash and password
    together, so a changed password no longer matches. The least recently used digests are dropped first.
    """

    def __init__(self, most: int = _MAX_REMEMBERED, key: bytes | None = None) -> None:
        """@param key: that of another process, so that both make the same digests. By default a new one."""
        self.key = secrets.token_bytes(32) if key is None else key
        #: Called with each digest that is remembered, for other processes with the same key.
        self.tell: Callable[[bytes], None] | None = None
        self._most = most
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def digest(self, account: Account, stored: str, password: bytes) -> bytes:
        """Return the digest of account, stored hash and password."""
        return hmac.digest(self.key, b"%d\0%b\0%b" % (account.account_id, stored.encode(), password), "sha256")

    def digest_of_missing(self, name: bytes, password: bytes) -> bytes:
        """Return the digest of a name without an enabled account, and a password. No account has the same digest."""
        return hmac.digest(self.key, b"missing\0%b\0%b" % (name, password), "sha256")

    def remember(self, digest: bytes) -> None:
        """Add the digest of a verified password."""
        self.learn(digest)
        if self.tell is not None:
            self.tell(digest)

    def learn(self, digest: bytes) -> None:
        """Add a digest that another process has remembered."""
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


@dataclass(slots=True)
class _Opened:
    """The account that a login opens, and that which it opens by the password stored here. None before, and without.

    @ivar is_wrong_here: whether the account has a password here, and the client sent another one.
    """

    account: Account | None = None
    here: Account | None = None
    is_wrong_here: bool = False


@implementer(ICredentialsChecker)
class PasswordChecker:
    """Checker from a name and a password, both as octets, to an Account.

    An unknown user, a disabled account and a wrong password cost one verification each, and fail with the same error.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(
        self,
        directory: IDirectory,
        hashing: Hashing,
        verified: VerifiedLogins,
        renewal: Renewal | None = None,
        failed_logins: GuessLimits | None = None,
        outside: OutsideCheck | None = None,
    ) -> None:
        """
        @param renewal: None if stored hashes are never renewed.
        @param failed_logins: None if guesses have no limit.
        @param outside: None if no other system knows passwords.
        """
        self._directory, self._hashing, self._verified = directory, hashing, verified
        self._renewal = renewal
        self._failed_logins = failed_logins
        self._outside = outside

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """Return a Deferred of the Account. It fails with UnauthorizedLogin, LoginBusy or StoreError."""
        ip = getattr(credentials, "ip", "")
        return Deferred.fromCoroutine(self._check(credentials.username, credentials.password, ip))

    async def _check(self, name: bytes, password: bytes, ip: str) -> Account:
        login = await find_login(self._directory, name)
        pair = None if login is None or not login.account.enabled else _hash_of(login)
        stored = None if pair is None else pair[1]
        if login is None or stored is None:
            digest = self._verified.digest_of_missing(name, password)
        else:
            digest = self._verified.digest(login.account, stored, password)
        # Invalid UTF-8 becomes text that no password may contain, and costs the same work as a wrong password.
        text = password.decode("utf-8", "surrogateescape")
        opened = _Opened()

        async def check_here() -> Account | None:
            fits = digest in self._verified or await self._hashing.verify(stored, text)
            if fits and login is not None and stored is not None:
                opened.here = login.account
            opened.is_wrong_here = stored is not None and not fits
            return opened.here

        async def verify() -> bool:
            if self._outside is None:
                opened.account = await check_here()
            else:
                try:
                    opened.account = await self._outside.account_of(name, password, ip, check_here)
                except LoginUnchecked:
                    raise LoginUnchecked(opened.is_wrong_here) from None
            return opened.account is not None

        if self._failed_logins is None:
            fits = await verify()
        else:
            has_password = stored is not None if self._outside is None else login is not None and login.account.enabled
            password_id = login.password_id if login is not None and has_password else None
            counted = digest if self._outside is None else self._outside.dated(digest)
            fits = await self._failed_logins.verify(password_id, ip, counted, verify)
        if opened.account is None or not fits:
            raise UnauthorizedLogin("login failed")
        if opened.here is not None and login is not None and pair is not None and digest not in self._verified:
            self._renew_or_remember(login, pair, text, digest)
        return opened.account

    def _renew_or_remember(self, login: Login, stored: tuple[str, str], password: str, digest: bytes) -> None:
        """Renew an outdated hash, or cache the login. If the renewal fails, the next login tries again."""
        if self._renewal is None or not self._renewal.begin(login, stored, password):
            self._verified.remember(digest)


@implementer(ISecrets, ICredentialsChecker)
class StoredSecrets:
    """Secrets for SASL mechanisms that verify a proof themselves, and checker from a proven name to an Account."""

    credentialInterfaces = (IProvenName,)

    def __init__(self, directory: IDirectory, failed_logins: GuessLimits | None = None) -> None:
        """@param failed_logins: None if guesses have no limit."""
        self._directory = directory
        self._failed_logins = failed_logins

    async def find_secret(self, name: bytes, scheme: str) -> str | None:
        login = await find_login(self._directory, name)
        return None if login is None or not login.account.enabled else login.secret(scheme)

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """Return a Deferred of the Account. It fails with UnauthorizedLogin or StoreError."""
        return Deferred.fromCoroutine(self._check(credentials))

    async def _check(self, credentials: IProvenName) -> Account:
        login = await find_login(self._directory, credentials.username)
        # The account may have been disabled since its secret was read.
        enabled = None if login is None or not login.account.enabled else login

        async def verify() -> bool:
            return credentials.is_proven and enabled is not None

        if self._failed_logins is None:
            fits = await verify()
        else:
            password_id = None if enabled is None else enabled.password_id
            # A wrong proof has no password by which a repetition could be recognised.
            fits = await self._failed_logins.verify(password_id, credentials.ip, secrets.token_bytes(16), verify)
        if enabled is None or not fits:
            raise UnauthorizedLogin("login failed")
        return enabled.account


@implementer(IRealm)
class MailRealm:
    """Realm from an Account, or an anonymous client, to an IDelivery or an opened IMaildrop."""

    def __init__(self, access: Access | None, maildrops: IMaildrops, mailboxes: OutsideMailboxes | None = None) -> None:
        """
        @param access: None if there is no SMTP.
        @param mailboxes: those that POP3 serves in place of the maildrops, if there are any.
        """
        self._access, self._maildrops, self._mailboxes = access, maildrops, mailboxes

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        """Return the avatar for the first supported interface, and its logout function."""
        account = None if avatarId is ANONYMOUS else avatarId
        for interface in interfaces:
            if interface in (IDelivery, smtp.IMessageDelivery) and self._access is not None:
                return interface, Delivery(self._access, account), _no_logout
            if interface in (IMaildrop, pop3.IMailbox) and account is not None:
                return self._open(interface, account)
        raise UnauthorizedLogin("no mail service for this login")

    def _open(self, interface: Any, account: Account) -> Deferred[Avatar]:
        """Open the maildrop. If the login is cancelled before it is open, its lock is released at once."""
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
            # The login was cancelled: expected refusals are dropped, other failures are still logged.
            return None if isinstance(failure.value, MaildropInUse | StoreError) else failure

        mailboxes = self._mailboxes
        opening = self._maildrops.open(account.account_id) if mailboxes is None else mailboxes.open(account)
        _ = Deferred.fromCoroutine(opening).addCallbacks(opened, failed)
        return answer


def _no_logout() -> None:
    """Do nothing: an SMTP login holds no lock."""


def build_portal(
    directory: IDirectory,
    maildrops: IMaildrops,
    hashing: Hashing,
    access: Access | None,
    renewal: Renewal | None = None,
    failed_logins: GuessLimits | None = None,
    verified: VerifiedLogins | None = None,
    outside: OutsideCheck | None = None,
    mailboxes: OutsideMailboxes | None = None,
) -> Portal:
    """Return the portal of all services.

    It accepts Anonymous, UsernamePassword and ProvenName credentials, and returns IDelivery and IMaildrop avatars.

    @param access: None if there is no SMTP.
    @param renewal: None if stored hashes are never renewed.
    @param failed_logins: None if guesses have no limit.
    @param verified: the cache of verified passwords. By default a new one.
    @param outside: None if no other system knows passwords.
    @param mailboxes: those that POP3 serves in place of the maildrops, if there are any.
    """
    realm = MailRealm(access, maildrops, mailboxes)
    passwords = PasswordChecker(
        directory, hashing, VerifiedLogins() if verified is None else verified, renewal, failed_logins, outside
    )
    return Portal(realm, [AllowAnonymousAccess(), passwords, StoredSecrets(directory, failed_logins)])
