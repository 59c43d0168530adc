"""A conversation as a page: sequence diagram, handshake, explained lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from emailsys.web.base.face import Answer, Call
from emailsys.wiretap.conversation import Conversation
from emailsys.wiretap.export.blocks import Dialogue
from emailsys.wiretap.export.page import page_of

_POLICY: Final = re.compile(r"style-src 'sha256-([A-Za-z0-9+/=]{44})'")


def _render(found: Mapping[str, Any]) -> tuple[bytes, str]:
    conversation = Conversation.from_json(found)
    page = page_of(f"{conversation.protocol} with {conversation.peer or 'a peer'}", [Dialogue(conversation)])
    digest = _POLICY.search(page)
    style = f"'sha256-{digest[1]}'" if digest is not None else "'none'"
    policy = f"default-src 'none'; style-src {style}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return page.encode("utf-8"), policy


async def conversation_page(call: Call, found: Mapping[str, Any]) -> Answer:
    """Return the page of a conversation, given as JSON."""
    octets, policy = await call.face.in_thread(_render, found)
    # The page has its own style inside, which its hash lets in.
    return Answer(octets, headers=(("Content-Security-Policy", policy),))
