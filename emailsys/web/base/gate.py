"""Gate of the web face: which hosts and origins requests may name, cookies, and the headers of every answer."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Final
from urllib.parse import urlsplit

from twisted.internet.interfaces import ISSLTransport

from emailsys.config.settings import Settings
from emailsys.mail.ip import is_loopback
from emailsys.web.base.refusal import Refusal

# Pages load scripts, styles and pictures from this server only, and nothing inline; data: is for small pictures.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: Fields of every answer. A page may replace the policy, never leave it out.
SECURITY_HEADERS: Final[tuple[tuple[str, str], ...]] = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # With no-referrer, browsers would send the origin null with our own forms.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("X-DNS-Prefetch-Control", "off"),
    ("Server", "emailsys"),
)
_OTHER_SITE: Final = "Open the page here and send the form from there."
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[-0-9A-Za-z_.]+)(?::[0-9]{1,5})?")
# What `secrets.token_urlsafe(32)` returns.
_TOKEN: Final = re.compile(r"[-0-9A-Za-z_]{43}")


class Gate:
    """The rules for requests, by the settings."""

    def __init__(self, settings: Settings) -> None:
        web = settings.web
        self._behind_proxy = web.behind_proxy
        listening = {host for host, _ in web.listen}
        self._names = frozenset({settings.hostname, *web.hosts, *_LOCAL_NAMES, *listening} - {"*"})

    def serves(self, request: Any) -> bool:
        """Whether the Host field names this server.

        A site of an attacker may let its name lead to this address (DNS rebinding). Its pages would then be allowed to
        read ours, but their requests carry its name.
        """
        values = request.requestHeaders.getRawHeaders("Host", [])
        match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
        if match is None:
            return False
        name = match[1].strip("[]").lower().removesuffix(".")
        if name in self._names:
            return True
        # An address cannot be rebound: a request that names the address that it was sent to is meant for it.
        try:
            return str(ipaddress.ip_address(name)) == _own_address(request)
        except ValueError:
            return False

    def check_origin(self, request: Any) -> None:
        """Check that a form was sent by a page of this server.

        @raise Refusal: a page of another site sent it.
        """
        site = request.getHeader("Sec-Fetch-Site")
        if site is not None and site not in ("same-origin", "none"):
            raise Refusal(403, "This form comes from another site", _OTHER_SITE)
        origin = request.getHeader("Origin")
        host = request.getHeader("Host")
        if origin is not None and urlsplit(str(origin)).netloc.lower() != str(host).lower():
            raise Refusal(403, "This form comes from another site", _OTHER_SITE)

    def has_tls(self, request: Any) -> bool:
        """Whether the connection itself has TLS."""
        return ISSLTransport(request.channel.transport, None) is not None

    def is_secure(self, request: Any) -> bool:
        """Whether the browser uses TLS: to us, or to the proxy."""
        return self.has_tls(request) or (self._behind_proxy and not is_loopback(self.ip(request)))

    def ip(self, request: Any) -> str:
        """Return the address of the browser, by which failed logins are counted."""
        peer = str(getattr(request.channel.transport.getPeer(), "host", ""))
        if self._behind_proxy:
            # The proxy appends the address that it saw. All before that is what the browser says.
            last = str(request.getHeader("X-Forwarded-For") or "").rpartition(",")[2].strip().strip("[]")
            try:
                return str(ipaddress.ip_address(last))
            except ValueError:
                pass
        return peer

    def cookie_name(self, is_secure: bool) -> str:
        """Return the name of the cookie. With __Host-, no other host of the domain can set it (RFC 6265bis §4.1.3)."""
        return "__Host-emailsys" if is_secure else "emailsys"

    def cookie(self, token: str, is_secure: bool) -> str:
        """Return the value of Set-Cookie. The cookie ends with the browser."""
        flags = "Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if is_secure else "")
        return f"{self.cookie_name(is_secure)}={token}; {flags}"

    def token(self, request: Any) -> str:
        """Return the token in the cookie, "" if there is none."""
        value: Any = request.getCookie(self.cookie_name(self.is_secure(request)).encode())
        return value.decode("ascii", "replace") if isinstance(value, bytes) else ""

    def is_token(self, text: str) -> bool:
        """Whether the text has the form of our tokens."""
        return _TOKEN.fullmatch(text) is not None


def _own_address(request: Any) -> str:
    try:
        return str(ipaddress.ip_address(str(request.channel.transport.getHost().host)))
    except ValueError:
        return ""
