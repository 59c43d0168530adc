"""Requests of operators: one frozen dataclass for each command, written as JSON on the control socket."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, get_type_hints

from emailsys.control.request_values import (
    AliasName,
    AnyText,
    Change,
    Credentials,
    Cursor,
    DomainName,
    DomainRows,
    Flag,
    Form,
    Label,
    LifeLimit,
    MailAddress,
    MailAddresses,
    MailAddressesOrNone,
    MailAddressOrNone,
    OctetsOrNone,
    Policy,
    Port,
    RouteDomain,
    RowId,
    RowLimit,
    Scopes,
    Seconds,
    SecretText,
    Senders,
    State,
    Text,
    TextOrNone,
    Texts,
    TokenDigest,
    TokenId,
    UserRows,
)
from emailsys.interfaces.operators import QueueFilter


@dataclass(frozen=True, slots=True)
class Request:
    """A request; its fields are checked when it is made.

    @raise MalformedRequest: a field has a value that is not allowed.
    """

    #: The name of the command in the JSON object.
    command: ClassVar[str]

    def __post_init__(self) -> None:
        for name, form in forms_of(type(self)).items():
            value = getattr(self, name)
            if not form.is_valid(value):
                raise form.error(name, value)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object of this request."""
        values = {name: form.encode(getattr(self, name)) for name, form in forms_of(type(self)).items()}
        return {"command": self.command, **values}


_FORMS: Final[dict[type[Request], dict[str, Form]]] = {}  # by kind, computed when the first request of it is made


def forms_of(kind: type[Request]) -> dict[str, Form]:
    """Return the form of each field of a kind of request."""
    if kind not in _FORMS:
        hints = get_type_hints(kind, include_extras=True)
        _FORMS[kind] = {field.name: hints[field.name].__metadata__[0] for field in fields(kind)}
    return _FORMS[kind]


@dataclass(frozen=True, slots=True)
class Status(Request):
    """Describe the running daemon."""

    command = "status"


@dataclass(frozen=True, slots=True)
class WebLogin(Request):
    """Make a link that logs in to the web face once: as an operator, or to the mail of an account."""

    command = "operator.login"
    address: MailAddressOrNone = None


@dataclass(frozen=True, slots=True)
class Init(Request):
    """Make an empty store if there is none, or accept a store that has replaced the former one."""

    command = "init"
    adopt: Flag = False


@dataclass(frozen=True, slots=True)
class DomainAdd(Request):
    """Add a domain with its addresses postmaster and abuse."""

    command = "domain.add"
    name: DomainName
    postmaster: MailAddress


@dataclass(frozen=True, slots=True)
class DomainAddMany(Request):
    """Add domains, each with its postmaster, in one commit."""

    command = "domain.add-many"
    rows: DomainRows


# Requests that make the first store of a state folder (decision 0023). Others would hide that it is the wrong folder.
MAKES_FIRST_STORE: Final = (DomainAdd, DomainAddMany)


@dataclass(frozen=True, slots=True)
class DomainList(Request):
    """List the domains."""

    command = "domain.list"


@dataclass(frozen=True, slots=True)
class DomainRemove(Request):
    """Remove a domain that has no users."""

    command = "domain.remove"
    name: Text


@dataclass(frozen=True, slots=True)
class DomainQuota(Request):
    """Set the quota of a domain: 0 for none, None for the default."""

    command = "domain.quota"
    name: Text
    octets: OctetsOrNone


@dataclass(frozen=True, slots=True)
class UserAdd(Request):
    """Add an account."""

    command = "user.add"
    address: MailAddress
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class UserAddMany(Request):
    """Add accounts, each with its credentials, in one commit."""

    command = "user.add-many"
    rows: UserRows


@dataclass(frozen=True, slots=True)
class UserList(Request):
    """List the accounts of a domain, or all accounts."""

    command = "user.list"
    domain: TextOrNone = None


@dataclass(frozen=True, slots=True)
class UserGet(Request):
    """Return an account as `user.list` does, or null."""

    command = "user.get"
    address: MailAddress


@dataclass(frozen=True, slots=True)
class UserRemove(Request):
    """Remove an account; with `purge` also the mail in its maildrop."""

    command = "user.remove"
    address: MailAddress
    purge: Flag


@dataclass(frozen=True, slots=True)
class UserPassword(Request):
    """Replace the credentials of an account."""

    command = "user.password"
    address: MailAddress
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class UserEnabled(Request):
    """Enable or disable the login of an account."""

    command = "user.enabled"
    address: MailAddress
    enabled: Flag


@dataclass(frozen=True, slots=True)
class UserForward(Request):
    """Forward the mail of an account, with or without a copy in its maildrop; None for no targets stops it."""

    command = "user.forward"
    address: MailAddress
    targets: MailAddressesOrNone
    keeps_copy: Flag = True


@dataclass(frozen=True, slots=True)
class UserQuota(Request):
    """Set the quota of an account: 0 for none, None for the default."""

    command = "user.quota"
    address: MailAddress
    octets: OctetsOrNone


@dataclass(frozen=True, slots=True)
class UserMaySendAs(Request):
    """Allow or forbid an account to send from addresses besides its own; without `senders`, list these addresses."""

    command = "user.may_send_as"
    address: MailAddress
    senders: Senders = ()
    remove: Flag = False


@dataclass(frozen=True, slots=True)
class TokenAdd(Request):
    """Add an access token of an account, or of the operators. `lifetime` is in seconds, 0 for no end."""

    command = "token.add"
    token_id: TokenId
    digest: TokenDigest
    scopes: Scopes
    address: MailAddressOrNone = None
    label: Label = ""
    lifetime: Seconds = 0.0


@dataclass(frozen=True, slots=True)
class TokenList(Request):
    """List the access tokens of an account, or all of them."""

    command = "token.list"
    address: MailAddressOrNone = None


@dataclass(frozen=True, slots=True)
class TokenRemove(Request):
    """Remove an access token. It is refused from now on."""

    command = "token.remove"
    token_id: TokenId


@dataclass(frozen=True, slots=True)
class AliasSet(Request):
    """Replace the targets of an alias."""

    command = "alias.set"
    name: AliasName
    targets: MailAddresses


@dataclass(frozen=True, slots=True)
class AliasAdd(Request):
    """Add targets to an alias."""

    command = "alias.add"
    name: AliasName
    targets: MailAddresses


@dataclass(frozen=True, slots=True)
class AliasRemove(Request):
    """Remove targets from an alias; without targets, remove the alias."""

    command = "alias.remove"
    name: AliasName
    targets: MailAddressesOrNone = None


@dataclass(frozen=True, slots=True)
class AliasList(Request):
    """List the aliases of a domain, or all aliases."""

    command = "alias.list"
    domain: TextOrNone = None


@dataclass(frozen=True, slots=True)
class RouteSet(Request):
    """Set the route for a recipient domain and a sender domain, "" for every domain."""

    command = "route.set"
    host: Text
    tls: Policy
    port: Port = 0
    recipient_domain: RouteDomain = ""
    sender_domain: RouteDomain = ""
    implicit_tls: Flag = False
    certificate_name: AnyText = ""
    certificate_fingerprint: AnyText = ""
    username: AnyText = ""
    password: SecretText = ""


@dataclass(frozen=True, slots=True)
class RouteRemove(Request):
    """Remove the route for a recipient domain and a sender domain, "" for every domain."""

    command = "route.remove"
    recipient_domain: AnyText = ""
    sender_domain: AnyText = ""


@dataclass(frozen=True, slots=True)
class RouteList(Request):
    """List the routes of the store."""

    command = "route.list"


@dataclass(frozen=True, slots=True)
class RouteExplain(Request):
    """Explain where mail for an address goes, from a sender or from any."""

    command = "route.explain"
    address: MailAddress
    sender: MailAddressOrNone = None


@dataclass(frozen=True, slots=True)
class _QueueRequest(Request):
    """A request about the queue rows for which every given condition holds; see `QueueFilter`."""

    queue_ids: Texts = ()
    domain: AnyText = ""
    sender: AnyText = ""
    state: State = None
    older_than: Seconds = 0.0

    @property
    def rows(self) -> QueueFilter:
        """The conditions, as the store takes them."""
        return QueueFilter(self.queue_ids, self.domain, self.sender, self.state, self.older_than)


@dataclass(frozen=True, slots=True)
class QueueList(_QueueRequest):
    """List at most `limit` rows of the queue, those behind the row `after`."""

    command = "queue.list"
    limit: RowLimit = 100
    after: RowId = 0


@dataclass(frozen=True, slots=True)
class QueueSummary(Request):
    """Count the rows of the queue by recipient domain."""

    command = "queue.summary"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueChangeRows(_QueueRequest):
    """Retry, hold, release or drop rows of the queue."""

    command = "queue.change"
    change: Change


@dataclass(frozen=True, slots=True)
class Trace(Request):
    """Search for messages, for at most `seconds`; the next request continues at the answer's cursor."""

    command = "trace"
    query: Text
    limit: LifeLimit
    # 0 for no limit.
    max_age: Seconds = 0.0
    cursor: Cursor = None
    seconds: Seconds = 1.0


@dataclass(frozen=True, slots=True)
class Verify(Request):
    """Check part of the store, for at most `seconds`; the next request continues at the answer's cursor."""

    command = "verify"
    cursor: Cursor = None
    seconds: Seconds = 1.0
