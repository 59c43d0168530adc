"""The answer to every request while there is no store."""

from __future__ import annotations

from typing import Any

from twisted.web.http import SERVICE_UNAVAILABLE, Request
from twisted.web.resource import Resource
from twisted.web.server import Site
from typing_extensions import override

_TEXT = b"The mail store is not there yet. Try again later; operators see the reason with: emailsys status\n"


class _Unavailable(Resource):
    isLeaf = True

    @override
    def render(self, request: Request) -> bytes:
        request.setResponseCode(SERVICE_UNAVAILABLE)
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        request.setHeader(b"retry-after", b"10")
        request.setHeader(b"connection", b"close")
        return b"" if request.method == b"HEAD" else _TEXT


def unavailable_site(reactor: Any) -> Site:
    """Return the factory of the listener, which writes no access log."""
    site = Site(_Unavailable(), reactor=reactor, timeout=30)
    site.noisy = False
    site.displayTracebacks = False
    site.log = lambda request: None  # type: ignore[method-assign]
    return site
