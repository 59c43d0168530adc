"""Accounts, their credentials, and the directory in which policy looks them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from twisted.cred.credentials import ICredentials, UsernamePassword
from zope.interface import Attribute, Interface, implementer

from emailsys.mail.address import Address
from emailsys.mail.forward import Forward

#: The key of a delegation that allows every address.
ANY_SENDER: Final = ("", "")

# An account, and the number of its password (see `Login`).
PasswordId = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Account:
    """An account that can log in and owns a maildrop. Only `IDirectory.find_address` fills in `forward`."""

    account_id: int
    address: Address
    enabled: bool = True
    forward: Forward | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """An account with its credentials, as pairs of scheme and stored secret.

    `password_number` is how often the password was replaced. A renewal of its hash does not count.
    """

    account: Account
    credentials: tuple[tuple[str, str], ...]
    password_number: int = 0

    def secret(self, scheme: str) -> str | None:
        """Return the stored secret of a scheme, or None."""
        return next((value for name, value in self.credentials if name == scheme), None)

    @property
    def password_id(self) -> PasswordId:
        """The id of the account, and the number of its password."""
        return self.account.account_id, self.password_number


class ClientPassword(UsernamePassword):
    """A login name and a password, as octets, with the IP address of the client; "" if it has none."""

    def __init__(self, username: bytes, password: bytes, ip: str = "") -> None:
        super().__init__(username, password)
        self.ip = ip


class IProvenName(ICredentials):
    """Credentials of a client whose proof a SASL mechanism has already verified."""

    username: bytes = Attribute("The login name as the client sent it.")
    ip: str = Attribute("The IP address of the client; empty if it has none.")
    is_proven: bool = Attribute("Whether the proof is correct.")


@implementer(IProvenName)
@dataclass(frozen=True, slots=True)
class ProvenName:
    """A login name with the result of the verification of its proof, and the IP address of the client."""

    username: bytes
    ip: str = ""
    is_proven: bool = True


class ISecrets(Interface):
    """Stored secrets, for SASL mechanisms that verify a proof themselves."""

    async def find_secret(name: bytes, scheme: str) -> str | None:
        """Return the secret of a scheme for a login name, or None if that login is not possible.

        @raise StoreError: the secret cannot be read now."""


class IDirectory(Interface):
    """Directory of accounts, domains and addresses for policy. Answers come from a cache no older than a second.

    While there is no domain at all, each method raises NoDomains instead of an empty answer: an address that an empty
    store does not know may exist nevertheless. The same applies to IAliases.
    """

    async def is_local_domain(domain_key: str) -> bool:
        """Return whether a domain (lower-case A-labels) is local."""

    async def local_domains() -> frozenset[str]:
        """Return the local domains (lower-case A-labels). Empty if there is none."""

    async def default_domain() -> str:
        """Return the domain of a bare <postmaster> (RFC 5321 §4.5.1): the first that was added."""

    async def find_address(local_key: str, domain_key: str) -> Account | None:
        """Return the account with exactly this address, by `Address.key`: its own name or an alias."""

    async def find_login(name_key: tuple[str, str]) -> Login | None:
        """Return the account with this own address, and its credentials, even if it is disabled."""

    async def delegated_senders(account_id: int) -> frozenset[tuple[str, str]]:
        """Return the addresses, by `Address.key`, that an account may send from besides its own.

        An empty local part stands for all addresses of a domain. The key `ANY_SENDER` stands for all addresses.
        """


class IAliases(Interface):
    """Aliases of this system, for policy."""

    async def targets(local_key: str, domain_key: str) -> Sequence[Address]:
        """Return the local and remote targets of exactly this alias, in order. Empty if there is no such alias.

        The catch-all of a domain, which stands for all unknown names, is its alias with an empty local part.
        """
