"""The wire: the list of conversations, and each as a page that is drawn while it happens."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from emailsys.interfaces.operators import Scope
from emailsys.interfaces.operators.wire import TracedStep
from emailsys.web.api.application import Api
from emailsys.web.api.server import event_stream
from emailsys.web.base.face import Answer, Call, Face
from emailsys.web.base.refusal import Refusal
from emailsys.web.base.services import Services
from emailsys.web.system.live_conversations import LiveConversations
from emailsys.web.system.operators import BASE, Operators
from emailsys.wiretap.conversation import Conversation
from emailsys.wiretap.export.blocks import Dialogue
from emailsys.wiretap.export.page import dialogue_of, page_of

# Conversations of the list.
_LISTED: Final = 100
_POLICY: Final = re.compile(r"style-src 'sha256-([A-Za-z0-9+/=]{44})'")


class WirePages:
    """The wire, for operators whose login has the scope `wire:read`."""

    def __init__(self, face: Face, api: Api, services: Services, operators: Operators) -> None:
        self._face = face
        self._api = api
        self._records = services.wire
        self._operators = operators
        self._live = LiveConversations(services.wire, face.reactor, self._draw, face.telemetry)
        face.closing.append(self._live.close)
        for path, handler in (
            ("/wire", self.wire),
            ("/wire/events", self.events),
            ("/wire/<session>", self.conversation),
            ("/wire/<session>/events", self.drawings),
            ("/wire/<session>/page", self.whole_page),
        ):
            operators.route(path, handler, Scope.WIRE_READ)

    async def places_of(self, call: Call, steps: Sequence[TracedStep]) -> Sequence[str]:
        """Return for each step of a message's history the address of its conversation.

        "" stands for a conversation that is not recorded, or that this browser may not see.
        """
        if not await self._operators.may(call, Scope.WIRE_READ):
            return [""] * len(steps)
        return [session and _place(session) for session in self._records.sessions_of(steps)]

    async def wire(self, call: Call) -> Answer:
        """Show the conversations that are recorded, and new ones as they happen."""
        found = list(self._records.conversations(_LISTED))[::-1]
        return call.page("system/wire.html", title="The wire", here="wire", base=BASE, conversations=found)

    async def events(self, call: Call) -> Answer:
        """Stream conversations as they happen."""
        return event_stream(call, lambda: self._api.wire.stream(0), self._api)

    async def conversation(self, call: Call, session: str) -> Answer:
        """Show a conversation: diagram, handshake and explained lines. It is drawn anew while it goes on."""
        found = self._found(session)
        return call.page(
            "system/conversation.html",
            title=_title(found),
            here="wire",
            base=BASE,
            place=_place(session),
            is_over=found["closed"],
            drawn=await self._draw(found),
        )

    async def drawings(self, call: Call, session: str) -> Answer:
        """Stream the drawings of a conversation while it goes on."""
        self._found(session)
        return event_stream(call, lambda: self._live.stream(session), self._api)

    async def whole_page(self, call: Call, session: str) -> Answer:
        """Return a conversation as a page that needs no other file, to be printed or saved."""
        octets, policy = await self._face.in_thread(_whole_page, self._found(session))
        # The page has its own style inside, which its hash lets in.
        return Answer(octets, headers=(("Content-Security-Policy", policy),))

    def _found(self, session: str) -> Mapping[str, Any]:
        found = self._records.conversation(session)
        if found is None:
            raise Refusal(404, "There is no such conversation", "The oldest ones are dropped.")
        return found

    async def _draw(self, found: Mapping[str, Any]) -> Markup:
        drawn: Markup = await self._face.in_thread(_drawn, found)
        return drawn


def _place(session: str) -> str:
    return f"{BASE}/wire/{quote(session, safe='')}"


def _title(found: Mapping[str, Any]) -> str:
    return f"{found['protocol']} with {found['peer_name'] or found['peer'] or 'a peer'}"


def _drawn(found: Mapping[str, Any]) -> Markup:
    return dialogue_of(Conversation.from_json(found))


def _whole_page(found: Mapping[str, Any]) -> tuple[bytes, str]:
    page = page_of(_title(found), [Dialogue(Conversation.from_json(found))])
    digest = _POLICY.search(page)
    style = f"'sha256-{digest[1]}'" if digest is not None else "'none'"
    policy = f"default-src 'none'; style-src {style}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return page.encode("utf-8"), policy
