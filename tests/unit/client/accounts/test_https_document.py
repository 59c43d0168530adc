"""Small documents from the web, which tell a client its servers; and where the client keeps its things."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from emailsys.client.accounts.https_document import get
from emailsys.client.base import locations

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


class DocumentTests(TestCase):
    """A web server in this process, without TLS."""

    timeout = 30

    def url(self, body: bytes | None, code: int = 200) -> str:
        port = reactor.listenTCP(0, Site(_Page(body, code)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}/mail.xml"

    async def test_a_document_comes_whole(self) -> None:
        self.assertEqual(await get(reactor, self.url(b"<x/>" * 100), 400), b"<x/>" * 100)

    async def test_a_document_that_is_too_long_is_none(self) -> None:
        self.assertIsNone(await get(reactor, self.url(b"x" * 401), 400))
        self.assertIsNone(await get(reactor, self.url(b"x" * 4_000_000), 400))

    async def test_a_page_that_says_there_is_none_is_none(self) -> None:
        self.assertIsNone(await get(reactor, self.url(b"not here", 404), 400))

    async def test_nobody_answers(self) -> None:
        port = reactor.listenTCP(0, Site(_Page(b"")), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        self.assertIsNone(await get(reactor, f"http://127.0.0.1:{number}/", 400))

    async def test_who_gives_up_hears_so(self) -> None:
        """Cancelling the search does not wait for a silent server."""
        waiting = Deferred.fromCoroutine(get(reactor, self.url(None), 400))
        reactor.callLater(0, waiting.cancel)
        with self.assertRaises(CancelledError):
            await waiting


@skipUnless(sys.platform == "linux", "the rules of XDG are Linux's")
class PlaceTests(SynchronousTestCase):
    """The XDG base directories."""

    def test_each_thing_has_the_folder_that_the_person_chose(self) -> None:
        for name in ("CONFIG", "DATA", "STATE"):
            self.patch(os, "environ", {**os.environ, f"XDG_{name}_HOME": f"/chosen/{name.lower()}"})
        self.assertEqual(locations.accounts_file(), Path("/chosen/config/emailsys/mail.toml"))
        self.assertEqual(locations.archive_folder(), Path("/chosen/data/emailsys/mail"))
        self.assertEqual(locations.state_folder(), Path("/chosen/state/emailsys/mail"))
