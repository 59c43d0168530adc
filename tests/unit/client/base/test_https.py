"""Small requests to web servers: documents that tell a client its servers, and forms."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from emailsys.client.base.https import get, post_form

reactor: Any = _reactor


class _Page(Resource):
    isLeaf = True

    def __init__(self, body: bytes | None, code: int = 200) -> None:
        Resource.__init__(self)
        self._body = body
        self._code = code

    def render_GET(self, request: Any) -> bytes | int:
        request.setResponseCode(self._code)
        return NOT_DONE_YET if self._body is None else self._body

    def render_POST(self, request: Any) -> bytes | int:
        self.posted = request.getHeader("content-type"), request.content.read()
        request.setHeader("location", "/elsewhere")
        return self.render_GET(request)


class DocumentTests(TestCase):
    """A web server in this process, without TLS."""

    timeout = 30

    def url(self, body: bytes | None, code: int = 200) -> str:
        self.page = _Page(body, code)
        port = reactor.listenTCP(0, Site(self.page), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}/mail.xml"

    async def test_a_document_comes_whole(self) -> None:
        self.assertEqual(await get(reactor, self.url(b"<x/>" * 100), 400), b"<x/>" * 100)

    async def test_a_document_that_is_too_long_is_none(self) -> None:
        self.assertIsNone(await get(reactor, self.url(b"x" * 401), 400))
        self.assertIsNone(await get(reactor, self.url(b"x" * 4_000_000), 400))

    async def test_a_page_that_says_there_is_none_is_none(self) -> None:
        self.assertIsNone(await get(reactor, self.url(b"not here", 404), 400))

    async def test_a_refused_connection_has_a_reason(self) -> None:
        port = reactor.listenTCP(0, Site(_Page(b"")), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        self.assertIsNone(await get(reactor, f"http://127.0.0.1:{number}/", 400))

    async def test_a_cancelled_search_ends_at_once(self) -> None:
        """Cancelling the search does not wait for a silent server."""
        waiting = Deferred.fromCoroutine(get(reactor, self.url(None), 400))
        reactor.callLater(0, waiting.cancel)
        with self.assertRaises(CancelledError):
            await waiting

    async def test_a_form_is_posted_once_and_no_redirection_is_followed(self) -> None:
        for code in (200, 302, 500):
            self.assertEqual(await post_form(reactor, self.url(b"thanks", code), b"a=b"), code)
            self.assertEqual(self.page.posted, ("application/x-www-form-urlencoded", b"a=b"))

    async def test_a_refused_form_has_a_reason(self) -> None:
        port = reactor.listenTCP(0, Site(_Page(b"")), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        self.assertIn("refused", str(await post_form(reactor, f"http://127.0.0.1:{number}/", b"a=b")))
