"""The HTTP API of `emailsys catch`: messages, waiting for one, and scripted failures, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from emailsys.testing.acceptance import EVERYTHING
from emailsys.testing.arrival import arrival
from emailsys.testing.failures import FailureSyntaxError, parse
from emailsys.testing.mailbox import NoSuchMail, Wanted
from emailsys.testing.message import Message
from emailsys.testing.server import CatchServer
from emailsys.web.application import WebFace
from emailsys.web.base.face import Answer, Call, Handler, see_other
from emailsys.web.base.refusal import Refusal

# Seconds that a request may wait for a message: the longest, and without a time of its own.
_MAX_WAIT: Final = 300.0
_DEFAULT_WAIT: Final = 30.0
_MAX_FAILURES: Final = 1000
# Messages, links and fields in one answer.
_MAX_LISTED: Final = 1000


def _json(value: Any, code: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), code, content_type="application/json")


def _in_json(handler: Handler) -> Handler:
    """Return a handler that tells what is wrong as JSON, too."""

    async def answer(call: Call, **parts: Any) -> Answer:
        try:
            return await handler(call, **parts)
        except Refusal as error:
            return _json({"error": error.title, "detail": error.text}, error.code)

    return answer


def _whole(message: Message) -> dict[str, Any]:
    parts = [
        {
            "number": part.number,
            "content_type": part.content_type,
            "name": part.name,
            "content_id": part.content_id,
            "octets": len(part.content),
        }
        for part in message.parts[:_MAX_LISTED]
    ]
    headers = [list(pair) for pair in message.headers[:_MAX_LISTED]]
    return {**message.summary(), "headers": headers, "text": message.text, "html": message.html, "parts": parts}


def _octets(octets: bytes, name: str) -> Answer:
    # A stranger's HTML must not run with the rights of this site: it is saved, never shown.
    headers = (("Content-Disposition", f'attachment; filename="{name}"'),)
    return Answer(octets, content_type="application/octet-stream", headers=headers)


class CatchAPI:
    """The pages of the API. All of them begin with /catch, and need no login."""

    def __init__(self, reactor: Any, server: CatchServer) -> None:
        self._reactor, self._server = reactor, server

    def add_to(self, web: WebFace) -> None:
        """Serve the API with a web face."""
        face, waiting = web.face, _MAX_WAIT + 10
        face.route("/catch", self._open)
        face.route("/catch/messages", _in_json(self._list))
        face.route("/catch/messages", _in_json(self._clear), ("DELETE",), is_form=False)
        face.route("/catch/messages/<number>", _in_json(self._get))
        face.route("/catch/messages/<number>/raw", _in_json(self._raw))
        face.route("/catch/messages/<number>/parts/<part>", _in_json(self._part))
        face.route("/catch/wait", _in_json(self._wait), seconds=waiting)
        face.route("/catch/failures", _in_json(self._failures))
        face.route("/catch/failures", _in_json(self._fail), ("POST",), is_form=False)
        face.route("/catch/failures", _in_json(self._clear_failures), ("DELETE",), is_form=False)

    async def _open(self, call: Call) -> Answer:
        """Log the browser in to the maildrop with everything: any password would do."""
        return see_other(call.face.sessions.make_link(str(EVERYTHING)))

    def _wanted(self, call: Call) -> Wanted:
        return Wanted(call.first("to") or None, call.first("subject") or None, call.first("from") or None)

    async def _list(self, call: Call) -> Answer:
        """Return the newest messages that fit, oldest first."""
        wanted = self._wanted(call)
        found = [message for message in self._server.inbox.messages if wanted.fits(message)]
        return _json({"messages": [message.summary() for message in found[-_MAX_LISTED:]], "total": len(found)})

    def _find(self, number: str) -> Message:
        found = next((message for message in self._server.inbox.messages if message.id == number), None)
        if found is None:
            raise Refusal(404, "There is no such message", "It was deleted, or never arrived.")
        return found

    async def _get(self, call: Call, number: str) -> Answer:
        return _json(_whole(self._find(number)))

    async def _raw(self, call: Call, number: str) -> Answer:
        message = self._find(number)
        return _octets(message.raw, f"{message.id}.eml")

    async def _part(self, call: Call, number: str, part: str) -> Answer:
        message = self._find(number)
        found = next((one for one in message.parts if one.number == part), None)
        if found is None:
            raise Refusal(404, "The message has no such part", "The message itself lists its parts.")
        return _octets(found.content, f"{message.id}-{found.number}")

    async def _clear(self, call: Call) -> Answer:
        call.face.gate.check_origin(call.request)
        self._server.inbox.clear()
        return Answer(code=204)

    async def _wait(self, call: Call) -> Answer:
        """Return the first message that fits, as soon as it is there."""
        text = call.first("timeout", str(_DEFAULT_WAIT))
        try:
            timeout = float(text)
        except ValueError:
            timeout = -1.0
        if not 0 <= timeout <= _MAX_WAIT:
            raise Refusal(400, "The timeout is wrong", f"Use a number of seconds from 0 to {_MAX_WAIT:g}.")
        after = self._find(call.first("after")) if call.first("after") else None
        waiting = arrival(self._server.inbox, self._reactor, self._wanted(call), after, timeout)
        # A client that has gone waits no longer.
        call.request.notifyFinish().addErrback(lambda _: waiting.cancel())
        try:
            return _json(_whole(await waiting))
        except NoSuchMail as error:
            return _json({"error": "no such message arrived", "detail": str(error)}, 404)

    async def _failures(self, call: Call) -> Answer:
        script = self._server.script
        return _json({"failures": [str(one) for one in script.failures], "happened": script.history[-_MAX_LISTED:]})

    async def _fail(self, call: Call) -> Answer:
        """Add failures: {"failures": ["451 at the first RCPT for x@"]}."""
        call.face.gate.check_origin(call.request)
        # A page of another site can send no JSON without asking first (CORS), and is not allowed to.
        if call.header("Content-Type").partition(";")[0].strip().lower() != "application/json":
            raise Refusal(415, "The request is no JSON", "Send it with the header Content-Type: application/json.")
        try:
            failures = [parse(sentence) for sentence in _sentences(call.request.content.read())]
        except FailureSyntaxError as error:
            return _json({"error": "the failure is not understood", "detail": str(error)}, 400)
        if len(self._server.script.failures) + len(failures) > _MAX_FAILURES:
            raise Refusal(400, "There are too many failures", "Delete those that are there first.")
        for failure in failures:
            self._server.script.add(failure)
        return replace(await self._failures(call), code=201)

    async def _clear_failures(self, call: Call) -> Answer:
        call.face.gate.check_origin(call.request)
        self._server.script.clear()
        return Answer(code=204)


def _sentences(octets: bytes) -> Sequence[str]:
    try:
        value = json.loads(octets)
    except (ValueError, RecursionError):
        value = None
    given = value.get("failures") if isinstance(value, dict) else None
    if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
        raise FailureSyntaxError('send an object like {"failures": ["451 at the first RCPT for x@"]}')
    return given
