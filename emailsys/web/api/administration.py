"""Requests of operators, as the API passes them on to the commands of the control socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, ParamSpec

from emailsys.control.request_values import MalformedRequest
from emailsys.control.requests import Request, RouteSet
from emailsys.interfaces.operators import Actor
from emailsys.mail.address import Address, parse
from emailsys.mail.next_hop import TLSPolicy
from emailsys.web.api.problem import Problem, not_allowed
from emailsys.web.base.services import Ask, MakeCredentials

_REFUSED: Final = "This cannot be carried out"
_FINGERPRINT_DIGITS: Final = 64

Fields = ParamSpec("Fields")


@dataclass(frozen=True, slots=True)
class Administration:
    """The commands of operators."""

    ask: Ask
    make_credentials: MakeCredentials

    async def do(self, kind: Callable[Fields, Request], *args: Fields.args, **fields: Fields.kwargs) -> Any:
        """Carry out a request that changes nothing, and return its result.

        @raise Problem: it was not carried out.
        """
        return await self.carry_out(None, _made(kind, *args, **fields))

    async def change(
        self, actor: Actor, kind: Callable[Fields, Request], *args: Fields.args, **fields: Fields.kwargs
    ) -> Any:
        """Carry out a request that changes something, and return its result. The log says who did it.

        @raise Problem: it was not carried out.
        """
        return await self.carry_out(actor, _made(kind, *args, **fields))

    async def set_route(self, actor: Actor, values: Mapping[str, Any]) -> Any:
        """Set a route, whose values have the names of the API.

        @raise Problem: it was not set.
        """
        fingerprint = values.get("certificate_fingerprint", "")
        try:
            policy = TLSPolicy(values["tls"])
        except ValueError:
            raise not_allowed([("/tls", f"allowed: {', '.join(one.value for one in TLSPolicy)}")]) from None
        if policy is not TLSPolicy.VERIFIED and (values.get("username") or fingerprint):
            raise not_allowed([("/tls", "allowed with a login or a fingerprint: verified")])
        return await self.change(
            actor,
            RouteSet,
            host=values["host"],
            tls=policy,
            port=values.get("port", 0),
            recipient_domain=values.get("to") or "",
            sender_domain=values.get("from") or "",
            implicit_tls=values.get("implicit_tls", False),
            certificate_name=values.get("certificate_name", ""),
            certificate_fingerprint=_fingerprint(fingerprint) if fingerprint else "",
            username=values.get("username", ""),
            password=values.get("password", ""),
        )

    async def carry_out(self, actor: Actor | None, request: Request) -> Any:
        """Carry out a request, and return its result. @param actor: who changes something.

        @raise Problem: it was not carried out.
        """
        answer = await self.ask(request, actor)
        if "error" not in answer:
            return answer["result"]
        message = str(answer["error"]["message"])
        match answer["error"]["kind"]:
            case "refused":
                raise Problem(409, "refused", _REFUSED, message)
            case "malformed":
                raise not_allowed([("", message)])
            case "busy" | "missing":
                raise Problem(
                    503,
                    "store-busy",
                    "The store is not available now",
                    message,
                    "Nothing was changed. Try again later.",
                    headers=[("Retry-After", "5")],
                )
        raise Problem(500, "defect", "Unexpected exception", help="The operator finds it in the log.")

    async def credentials(self, password: str, address: Address) -> Sequence[tuple[str, str]]:
        """Return what is stored for a new password.

        @raise Problem: the password is not allowed.
        """
        try:
            return await self.make_credentials(password, address)
        except ValueError as error:
            raise not_allowed([("/password", str(error))]) from None


def _made(kind: Callable[Fields, Request], *args: Fields.args, **fields: Fields.kwargs) -> Request:
    """Return a request. @raise Problem: a field has a value that is not allowed."""
    try:
        return kind(*args, **fields)
    except MalformedRequest as error:
        raise not_allowed([("", str(error))]) from None


def _fingerprint(text: str) -> str:
    """Return a fingerprint as 64 digits.

    @raise Problem: it is none.
    """
    digits = text.replace(":", "").lower()
    if len(digits) != _FINGERPRINT_DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise not_allowed([("/certificate_fingerprint", "allowed: SHA-256 of a certificate in hexadecimal digits")])
    return digits


def alias_name(text: str) -> Address:
    """Return the name of an alias; @domain is the catch-all of a domain."""
    return Address("", text[1:]) if text.startswith("@") else parse(text)


def sort_key(text: str) -> tuple[str, ...]:
    """Return the place of an address, or of @domain, in a list."""
    local, _, domain = text.rpartition("@")
    local_key, domain_key = Address(local, domain).key
    return (domain_key, local_key)
