"""Requests of operators, as the API passes them on to the commands of the control socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from emailsys.interfaces.operators import Actor
from emailsys.mail.address import Address, parse
from emailsys.mail.next_hop import TLSPolicy
from emailsys.web.api.problem import Problem, not_allowed
from emailsys.web.base.services import Ask, MakeCredentials

_REFUSED: Final = "This cannot be carried out"
_FINGERPRINT_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class Administration:
    """The commands of operators."""

    ask: Ask
    make_credentials: MakeCredentials

    async def do(self, command: str, **fields: Any) -> Any:
        """Carry out a command that changes nothing, and return its result.

        @raise Problem: it was not carried out.
        """
        return await self._ask(None, command, fields)

    async def change(self, actor: Actor, command: str, **fields: Any) -> Any:
        """Carry out a command that changes something, and return its result. The log says who did it.

        @raise Problem: it was not carried out.
        """
        return await self._ask(actor, command, fields)

    async def set_route(self, actor: Actor, values: Mapping[str, Any]) -> Any:
        """Set a route, whose values have the names of the API.

        @raise Problem: it was not set.
        """
        names = ("certificate_name", "certificate_fingerprint", "username", "password", "implicit_tls", "port")
        fields = {name: values[name] for name in names if name in values}
        if values["tls"] != TLSPolicy.VERIFIED.value and (
            values.get("username") or values.get("certificate_fingerprint")
        ):
            raise not_allowed([("/tls", "allowed with a login or a fingerprint: verified")])
        if fields.get("certificate_fingerprint"):
            fields["certificate_fingerprint"] = _fingerprint(fields["certificate_fingerprint"])
        for name, field in (("to", "recipient_domain"), ("from", "sender_domain")):
            if values.get(name):
                fields[field] = values[name]
        return await self.change(actor, "route.set", host=values["host"], tls=values["tls"], **fields)

    async def _ask(self, actor: Actor | None, command: str, fields: Mapping[str, Any]) -> Any:
        answer = await self.ask({"command": command, **fields}, actor)
        if "error" not in answer:
            return answer["result"]
        kind, message = answer["error"]["kind"], str(answer["error"]["message"])
        match kind:
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

    async def credentials(self, password: str, address: Address) -> list[list[str]]:
        """Return what is stored for a new password.

        @raise Problem: the password is not allowed.
        """
        try:
            made = await self.make_credentials(password, address)
        except ValueError as error:
            raise not_allowed([("/password", str(error))]) from None
        return [list(pair) for pair in made]


def _fingerprint(text: str) -> str:
    """Return a fingerprint as 64 digits.

    @raise Problem: it is none.
    """
    digits = text.replace(":", "").lower()
    if len(digits) != _FINGERPRINT_DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise not_allowed([("/certificate_fingerprint", "allowed: SHA-256 of a certificate in hexadecimal digits")])
    return digits


def pair(text: str) -> list[str]:
    """Return a mail address as requests have it."""
    address = parse(text)
    return [address.local, address.domain]


def alias_pair(text: str) -> list[str]:
    """Return the name of an alias as requests have it; @domain is the catch-all of a domain."""
    return ["", text[1:]] if text.startswith("@") else pair(text)


def sort_key(text: str) -> tuple[str, ...]:
    """Return the place of an address, or of @domain, in a list."""
    local, _, domain = text.rpartition("@")
    local_key, domain_key = Address(local, domain).key
    return (domain_key, local_key)
