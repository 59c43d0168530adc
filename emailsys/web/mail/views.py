"""One message seen whole: its text, its HTML, its parts, its header fields, its way, and its octets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from emailsys.client.text.file_names import safe_name
from emailsys.interfaces import IMaildropReading, StoreError
from emailsys.interfaces.operators import EventKind, Happening
from emailsys.interfaces.operators.wire import TracedStep
from emailsys.mail.message.authorship import unauthenticated_by
from emailsys.mail.message.structure import structure
from emailsys.web.base.face import Answer, Call, Face
from emailsys.web.base.refusal import Refusal
from emailsys.web.mail.files import attached, file_answer, part_answer
from emailsys.web.mail.headers import explained, hops
from emailsys.web.mail.messages import Messages, Opened
from emailsys.web.mail.summaries import one_line, summary_or_error
from emailsys.web.mail.texts import frame_of, has_html, has_remote, linked, plain_text_of
from emailsys.wiretap.export.page import tree_of

#: Returns for each step of a message's history the address of its conversation on the wire, "" if there is none for
#: this browser.
PlacesOf = Callable[[Call, Sequence[TracedStep]], Awaitable[Sequence[str]]]

_TABS: Final = {
    "text": "Text",
    "html": "HTML",
    "structure": "Structure",
    "headers": "Headers",
    "journey": "Journey",
    "raw": "Raw",
}
# Octets of a message that the page shows as they are, and rows of its structure.
_MAX_RAW: Final = 200_000
_MAX_ROWS: Final = 500
_HAPPENED: Final = {
    EventKind.ACCEPTED: "accepted by this system",
    EventKind.STORED: "stored in the maildrop",
    EventKind.EXPANDED: "led on by an alias",
    EventKind.FETCHED: "read: fetched by a mail program, or opened in a browser",
    EventKind.NOTICE: "a notice about it was sent",
}


class Views:
    """The pages of one message."""

    def __init__(self, face: Face, messages: Messages, places_of: PlacesOf) -> None:
        self._face = face
        self._places_of = places_of
        self._messages = messages
        self._reading: IMaildropReading = face.store.reading
        face.route("/mail/<int:number>/<uid>/", self.text)
        for tab in _TABS:
            if tab != "text":
                face.route(f"/mail/<int:number>/<uid>/{tab}", self._page_of(tab))
        face.route("/mail/<int:number>/<uid>/frame", self.frame)
        face.route("/mail/<int:number>/<uid>/message.eml", self.download)
        face.route("/mail/<int:number>/<uid>/part/<part>", self.part)
        face.route("/mail/<int:number>/<uid>/show/<part>", self.show)

    def _page_of(self, tab: str) -> Any:
        async def page(call: Call, number: int, uid: str) -> Answer:
            opened = await self._messages.open(call, number, uid)
            return await self._page(call, number, opened, tab)

        return page

    async def text(self, call: Call, number: int, uid: str) -> Answer:
        """Show the text. The message counts as read from then on."""
        opened = await self._messages.open(call, number, uid)
        try:
            await self._reading.note_read(call.account(number).account.account_id, uid)
        except StoreError:
            # A full disk is no reason not to show a message.
            self._face.telemetry.event("web-read-not-noted", queue_id=opened.listed.queue_id)
        return await self._page(call, number, opened, "text")

    async def _page(self, call: Call, number: int, opened: Opened, tab: str) -> Answer:
        shown = await self._face.in_thread(_content, opened, tab)
        if tab == "journey":
            shown["happenings"] = await self._happenings(call, number, opened)
        listed = opened.listed
        return call.page(
            "mail/message.html",
            title=shown["summary"].subject,
            number=number,
            account=call.account(number).account,
            uid=listed.uid,
            queue_id=listed.queue_id,
            tabs={key: name for key, name in _TABS.items() if key != "html" or shown["has_html"]},
            tab=tab,
            with_remote=call.first("pictures") == "1",
            **shown,
        )

    async def _happenings(self, call: Call, number: int, opened: Opened) -> Sequence[tuple[Happening, str, str]]:
        """Return what happened to the message for this recipient, in words and with its place on the wire.

        What concerns others is left out.
        """
        traced = await self._face.store.trace.search(opened.listed.queue_id, 1)
        address, path = str(call.account(number).account.address), opened.root.text_of("delivered-to").strip()
        lives = [life for life in traced.lives if life.queue_id == opened.listed.queue_id]
        found = [
            (one, (life.client or {}).get("session") or "")
            for life in lives
            for one in own_happenings(life.happenings, address, path)
        ]
        steps = [
            TracedStep(one.kind, one.at.timestamp(), opened.listed.queue_id, session, one.remote, one.reply, one.uid)
            for one, session in found
        ]
        places = await self._places_of(call, steps)
        return [
            (one, _HAPPENED.get(one.kind, one.kind.value), place) for (one, _), place in zip(found, places, strict=True)
        ]

    async def frame(self, call: Call, number: int, uid: str) -> Answer:
        """Return the HTML of the message, as a document that runs nothing."""
        opened = await self._messages.open(call, number, uid)
        page, policy = await self._face.in_thread(frame_of, opened.root, call.first("pictures") == "1")
        headers = (
            ("Content-Security-Policy", policy),
            ("X-Frame-Options", "SAMEORIGIN"),
            ("Referrer-Policy", "no-referrer"),
        )
        return Answer(page.encode("utf-8", "replace"), headers=headers)

    async def download(self, call: Call, number: int, uid: str) -> Answer:
        """Return the message as a file."""
        opened = await self._messages.open(call, number, uid)
        name = safe_name(opened.root.decoded_of("subject"), "message", 80).removesuffix(".eml") + ".eml"
        return file_answer(opened.octets, name)

    async def part(self, call: Call, number: int, uid: str, part: str) -> Answer:
        """Return an attachment to be saved."""
        opened = await self._messages.open(call, number, uid)
        answer: Answer = await self._face.in_thread(part_answer, opened.root, part, False)
        return answer

    async def show(self, call: Call, number: int, uid: str, part: str) -> Answer:
        """Return a picture or a PDF to be shown. Any other attachment is saved."""
        opened = await self._messages.open(call, number, uid)
        answer: Answer = await self._face.in_thread(part_answer, opened.root, part, True)
        return answer


def own_happenings(happenings: Sequence[Happening], address: str, path: str) -> list[Happening]:
    """Return what happened to a message for one account.

    All targets of an alias have its address as their recipient. Who else is one of them, and reads or deletes, is not
    for this account.

    @param address: the address of the account.
    @param path: the address to which the message was sent, which may be an alias.
    """
    address, path = address.lower(), path.lower()
    shared = {one.recipient.lower() for one in happenings if one.kind is EventKind.EXPANDED}
    found = []
    for one in happenings:
        recipient = one.recipient.lower()
        if one.kind is EventKind.ACCEPTED:
            found.append(one)
        elif not recipient or recipient not in (address, path):
            continue
        elif one.kind is EventKind.EXPANDED:
            found.append(replace(one, detail=""))
        elif recipient not in shared or (one.kind is EventKind.STORED and one.detail.lower() == address):
            found.append(one)
    return found


def _content(opened: Opened, tab: str) -> dict[str, Any]:
    """Return what the page shows. Runs in a thread."""
    root = opened.root
    if tab == "html" and not has_html(root):
        raise Refusal(404, "This message has no HTML")
    text, defects, found = plain_text_of(root)
    rows = structure(root) if tab == "structure" else []
    largest = max((row.raw_octets for row in rows), default=1) or 1
    return {
        "summary": summary_or_error(opened.listed, opened.octets[:65536])[0],
        "to": one_line(root.decoded_of("to"), 2000),
        "cc": one_line(root.decoded_of("cc"), 2000),
        "unauthenticated": unauthenticated_by(root) is not None,
        "has_html": has_html(root),
        "has_remote": tab == "html" and has_remote(root),
        "pieces": linked(text) if tab == "text" else [],
        "defects": defects,
        "files": attached(found) if tab in ("text", "html") else [],
        "files_in_all": len(found.attachments),
        "rows": rows[:_MAX_ROWS],
        "rows_left": max(0, len(rows) - _MAX_ROWS),
        "largest": largest,
        "tree": tree_of(rows) if rows else "",
        "fields": explained(root) if tab == "headers" else [],
        "hops": hops(root) if tab in ("headers", "journey") else [],
        "raw": opened.octets[:_MAX_RAW].decode("utf-8", "backslashreplace") if tab == "raw" else "",
        "raw_left": max(0, len(opened.octets) - _MAX_RAW),
        "happenings": [],
    }
