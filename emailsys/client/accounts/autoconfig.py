"""Parser of Thunderbird's autoconfig XML, version 1.1, in which providers publish their servers."""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree

from emailsys.client.accounts.values import Auth, Security, Server
from emailsys.mail.address import Address, is_domain

#: Larger documents are ignored, in octets.
MAX_OCTETS: Final = 256 * 1024
_MAX_SERVERS: Final = 20
_SECURITY: Final = {"SSL": Security.TLS, "STARTTLS": Security.STARTTLS}
_AUTH: Final = {
    "password-cleartext": Auth.PASSWORD,
    "plain": Auth.PASSWORD,
    "password-encrypted": Auth.PASSWORD,
    "OAuth2": Auth.TOKEN,
}


def _parsed(octets: bytes) -> ElementTree.Element | None:
    if len(octets) > MAX_OCTETS:
        return None
    try:
        text = octets.decode("utf-8")
        # A document type can declare entities, which can expand without limit.
        if "<!DOCTYPE" in text:
            return None
        return ElementTree.fromstring(text)  # noqa: S314 - see above
    except (ElementTree.ParseError, ValueError):
        return None


def _filled_in(text: str, address: Address) -> str:
    for name, value in (
        ("%EMAILADDRESS%", str(address)),
        ("%EMAILLOCALPART%", address.local),
        ("%EMAILDOMAIN%", address.domain),
    ):
        text = text.replace(name, value)
    return text.strip()


def _server(element: ElementTree.Element, address: Address) -> Server | None:
    host = _filled_in(element.findtext("hostname") or "", address).lower()
    port = (element.findtext("port") or "").strip()
    security = _SECURITY.get((element.findtext("socketType") or "").strip())
    username = _filled_in(element.findtext("username") or "%EMAILADDRESS%", address)
    auths = [_AUTH.get((one.text or "").strip()) for one in element.findall("authentication")]
    auth = next((one for one in auths if one is not None), None)
    # Servers without TLS are ignored.
    if security is None or auth is None or not is_domain(host) or not username.isprintable():
        return None
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        return None
    return Server(host, int(port), security, username, Auth.PASSWORD if Auth.PASSWORD in auths else auth)


def servers_of(octets: bytes, address: Address) -> tuple[tuple[Server, ...], tuple[Server, ...]]:
    """Return the POP3 and submission servers in a document, implicit TLS first. Invalid documents have none."""
    root = _parsed(octets)
    if root is None:
        return (), ()

    def found(path: str, kind: str) -> tuple[Server, ...]:
        elements = [one for one in root.findall(path)[:_MAX_SERVERS] if one.get("type") == kind]
        servers = [server for one in elements if (server := _server(one, address)) is not None]
        return tuple(sorted(servers, key=lambda server: server.security is not Security.TLS))

    return found("emailProvider/incomingServer", "pop3"), found("emailProvider/outgoingServer", "smtp")
