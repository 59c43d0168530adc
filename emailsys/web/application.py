"""The application: puts the pages together and returns the server for the daemon."""

# twisted.web has no types.
# mypy: allow-untyped-calls

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from twisted.cred.portal import Portal
from twisted.web.resource import IResource, Resource
from typing_extensions import override
from werkzeug.exceptions import MethodNotAllowed, NotFound

from emailsys.config.settings import Settings
from emailsys.interfaces import IChecks, IDirectory, IIntake
from emailsys.net.serving.admission import Admission
from emailsys.telemetry import Telemetry
from emailsys.web.api.application import build_api
from emailsys.web.api.server import add_api
from emailsys.web.base.face import Answer, Face
from emailsys.web.base.gate import SECURITY_HEADERS, Gate
from emailsys.web.base.http import MAX_ANONYMOUS, WebServer
from emailsys.web.base.login import add_login
from emailsys.web.base.sent_once import SentOnce
from emailsys.web.base.services import Services
from emailsys.web.base.sessions import Sessions
from emailsys.web.base.submission import Submission, utc_now
from emailsys.web.base.templates import preload as load_templates
from emailsys.web.mail.composing import Composing
from emailsys.web.mail.deletions import Deletions
from emailsys.web.mail.lists import Lists
from emailsys.web.mail.messages import Messages
from emailsys.web.mail.side_by_side import SideBySide
from emailsys.web.mail.summaries import Summaries
from emailsys.web.mail.views import Views
from emailsys.web.system.operators import Operators
from emailsys.web.system.pages import add_system

# A message of the largest size as base64 with its form, and half as much again for what the browser adds.
_BODY_SHARE: Final = 1.5
_OTHER_NAME: Final = (
    "This server has another name. An operator can add this one to hosts in [web] of the configuration, or "
    "start emailsys catch with --name.\n"
)


class _Root(Resource):
    """All pages, for requests that name this server as their host."""

    isLeaf = True

    def __init__(self, inner: IResource, gate: Gate) -> None:
        super().__init__()
        self._inner, self._gate = inner, gate

    @override
    def render(self, request: Any) -> Any:
        if not self._gate.serves(request):
            return _refused(request, 421, b"Misdirected Request", _OTHER_NAME)
        try:
            request.path.decode("ascii")
            unquote_to_bytes(request.path).decode("utf-8")
        except UnicodeDecodeError:
            # The router would log each of them with a traceback.
            return _refused(request, 400, b"Bad Request", "The address of this page is not UTF-8.\n")
        return self._inner.render(request)


def _refused(request: Any, code: int, reason: bytes, text: str) -> bytes:
    """Answer in place of the pages."""
    request.setResponseCode(code, reason)
    for name, value in (*SECURITY_HEADERS, ("Content-Type", "text/plain; charset=utf-8")):
        request.setHeader(name, value)
    return text.encode()


@dataclass(frozen=True, slots=True)
class WebFace:
    """The running web face.

    @ivar server: its connections.
    @ivar face: what its pages share.
    @ivar operators: the logins of operators.
    """

    server: WebServer
    face: Face
    operators: Operators

    async def close(self) -> None:
        """Finish what the pages have promised. The store is still open."""
        for finish in self.face.closing:
            await finish()


def build(
    reactor: Any,
    settings: Settings,
    telemetry: Telemetry,
    portal: Portal,
    directory: IDirectory,
    intake: IIntake,
    store: Any,
    admission: Admission,
    services: Services,
    checks: IChecks | None = None,
) -> WebFace:
    """Return the web face, which serves no port yet.

    @param checks: those of the submission ports; None if there are none.
    """
    web = settings.web
    gate = Gate(settings)
    sessions = Sessions(reactor, directory, web.idle_timeout, web.session_timeout)
    face = Face(reactor, settings, telemetry, portal, directory, intake, store, gate, sessions)
    # A redirect of the router would not have our headers.
    face.app.url_map.merge_slashes = False
    add_login(face)
    _add_errors(face)
    asked = None if checks is None else (checks, reactor)
    submission = Submission(intake, settings, telemetry, checks=asked)
    once = SentOnce(store.sent_keys, telemetry, utc_now)
    most = settings.smtp.max_message_size
    api = build_api(services, store.reading, submission, once, reactor, telemetry, face.in_thread, most)
    api_server = add_api(face, api)
    messages = Messages(face)
    deletions, summaries = Deletions(face), Summaries(face)
    Lists(face, deletions, summaries)
    SideBySide(face, deletions, summaries)
    Composing(face, messages, submission, once)
    operators, wire = add_system(face, api, services)
    Views(face, messages, wire.places_of)
    face.start = "/mail/{}/"

    def body_limit(request: Any) -> int:
        is_known = sessions.knows(gate.token(request))
        return max(api_server.body_limit(request), int(most * _BODY_SHARE) if is_known else MAX_ANONYMOUS)

    root = _Root(face.app.resource(), gate)
    return WebFace(WebServer(root, reactor, telemetry, admission, body_limit), face, operators)


def _add_errors(face: Face) -> None:
    """Answer requests for pages that do not exist."""

    def answer(request: Any, page: Answer) -> bytes:
        request.setResponseCode(page.code)
        for name, value in (*SECURITY_HEADERS, ("Content-Type", page.content_type), ("Cache-Control", "no-store")):
            request.setHeader(name, value)
        assert isinstance(page.body, bytes)
        return b"" if request.method == b"HEAD" else page.body

    def missing(request: Any, failure: object) -> bytes:
        return answer(request, face.error_page(request, 404, "There is no such page", "The address may be misspelt."))

    def refused(request: Any, failure: object) -> bytes:
        return answer(request, face.error_page(request, 405, "This page cannot be used like that", ""))

    for error, page in ((NotFound, missing), (MethodNotAllowed, refused)):
        face.app.handle_errors(error)(page)


def preload() -> None:
    """Load all that the pages need later, while the process may read the packages."""
    load_templates()
