"""Services of the daemon that the API and the pages of operators use, besides those of the mail pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emailsys.control.requests import Request
from emailsys.interfaces import Account
from emailsys.interfaces.operators import Actor, TokenRow
from emailsys.interfaces.operators.wire import IWireRecords
from emailsys.mail.address import Address

#: Carries out a request of the control socket, and returns its answer. A change is logged with the name of the actor.
Ask = Callable[[Request, Actor | None], Awaitable[Mapping[str, Any]]]
#: Returns what is stored for a new password of an account. Raises ValueError if the password is not allowed.
MakeCredentials = Callable[[str, Address], Awaitable[Sequence[tuple[str, str]]]]
#: Returns the token with a text, for the IP address of a client; raises as `policy.token_check` does.
CheckToken = Callable[[str, str], Awaitable[TokenRow]]
#: Returns the attempts for a message accepted now if its host is down for that many seconds.
Foretell = Callable[[float], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Services:
    """Services of the daemon.

    @ivar delivery_of: returns the IDelivery avatar of an account.
    @ivar sample: returns the live numbers; see `web.api.live`.
    """

    ask: Ask
    make_credentials: MakeCredentials
    check_token: CheckToken
    delivery_of: Callable[[Account], Any]
    sample: Callable[[], Awaitable[Mapping[str, Any]]]
    foretell: Foretell
    wire: IWireRecords
