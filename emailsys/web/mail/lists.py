"""Lists of messages: the inbox, page by page, searches, and the buttons that delete and restore."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from emailsys.interfaces import IMaildropReading, Listed
from emailsys.mail.message.mime import parse
from emailsys.web.base.face import Answer, Call, Face, see_other
from emailsys.web.base.forms import BadForm, parse_query
from emailsys.web.mail.deletions import Deletions
from emailsys.web.mail.summaries import Summaries, Summary
from emailsys.web.mail.texts import plain_text_of

#: Messages of one page.
PAGE: Final = 50
# Messages that one search looks through, in the header section and in the text. The page offers to go on.
_HEADERS_SEARCHED: Final = 2_000
_TEXTS_SEARCHED: Final = 200
# Octets of a message whose text is searched.
_TEXT_OCTETS: Final = 128 * 1024
_STEP: Final = 200
_MAX_QUERY: Final = 200
# Parameters that tell which messages a list shows.
_PLACE: Final = ("q", "text", "before", "after")
_MAX_PLACE: Final = 2_000
_UID: Final = re.compile(r"[0-9A-Za-z]{1,20}")


class Lists:
    """The pages."""

    def __init__(self, face: Face, deletions: Deletions, summaries: Summaries) -> None:
        self._face = face
        self._reading: IMaildropReading = face.store.reading
        self._summaries = summaries
        self._deletions = deletions
        face.route("/mail/<int:number>/", self.inbox)
        face.route("/mail/<int:number>/delete", self.delete, ("POST",))
        face.route("/mail/<int:number>/undo", self.undo, ("POST",))

    async def inbox(self, call: Call, number: int) -> Answer:
        """Show a page of the maildrop, or of what a search found."""
        account_id = call.account(number).account.account_id
        query = " ".join(call.first("q")[:_MAX_QUERY].split())
        before, after = call.first("before"), call.first("after")
        in_text = call.first("text") == "1"
        further = ""
        hidden = self._deletions.hidden(account_id)
        if query:
            shown, further = await self._search(account_id, query, before, in_text)
            older = newer = ""
        else:
            listed = await self._reading.page(account_id, PAGE + 1, before, after)
            extra = len(listed) > PAGE
            page = listed[1:] if extra and after else listed[:PAGE]
            shown = await self._summaries.of(account_id, page)
            older = page[-1].uid if page and (extra or after) else ""
            newer = page[0].uid if page and (before or (after and extra)) else ""
        shown = [one for one in shown if one.uid not in hidden]
        read = await self._reading.read(account_id, [one.uid for one in shown])
        return call.page(
            "mail/list.html",
            title=f"Search: {query}" if query else "Inbox",
            number=number,
            account=call.account(number).account,
            shown=shown,
            read=read,
            query=query,
            in_text=in_text,
            older=older,
            newer=newer,
            further=_address(q=query, before=further, **({"text": "1"} if in_text else {})) if further else "",
            is_first=not before and not after,
            deletions=self._deletions.of(account_id),
            now=self._face.reactor.seconds(),
            was_sent=call.first("sent") == "1",
            back=_address(**{name: call.first(name) for name in _PLACE if call.first(name)}),
        )

    async def _search(self, account_id: int, query: str, before: str, in_text: bool) -> tuple[list[Summary], str]:
        """Return what a search found, and the message after which it can go on, "" at the end."""
        words = query.casefold().split()
        found: list[Summary] = []
        looked, most = 0, _TEXTS_SEARCHED if in_text else _HEADERS_SEARCHED
        while looked < most and len(found) < PAGE:
            listed = await self._reading.page(account_id, min(_STEP, most - looked), before)
            if not listed:
                return found, ""
            looked, before = looked + len(listed), listed[-1].uid
            summaries = await self._summaries.of(account_id, listed)
            texts = await self._texts(account_id, listed) if in_text else {}
            found += [
                one
                for one in summaries
                if _has_words(f"{one.sender} {one.address} {one.to} {one.subject} {texts.get(one.uid, '')}", words)
            ]
        return found, before

    async def _texts(self, account_id: int, listed: Sequence[Listed]) -> dict[str, str]:
        heads = await self._reading.heads(account_id, [one.uid for one in listed], _TEXT_OCTETS)
        texts: dict[str, str] = await self._face.in_thread(
            lambda: {uid: _text_of(octets) for uid, octets in heads.items()}
        )
        return texts

    async def delete(self, call: Call, number: int) -> Answer:
        """Delete the messages that are marked, after the time to undo."""
        account_id = call.account(number).account.account_id
        uids = [uid for uid in call.form.fields.get("uid", ()) if _UID.fullmatch(uid)]
        if uids:
            self._deletions.add(account_id, uids)
        return _list_of(call, number)

    async def undo(self, call: Call, number: int) -> Answer:
        """Restore messages."""
        account_id = call.account(number).account.account_id
        self._deletions.undo(account_id, call.form.get("deletion"))
        return _list_of(call, number)


def _list_of(call: Call, number: int) -> Answer:
    """Return to the list whose form was sent."""
    try:
        given = parse_query(call.form.get("back")[:_MAX_PLACE].removeprefix("?").encode("utf-8", "replace"))
    except BadForm:
        given = {}
    place = {name: given[name][0] for name in _PLACE if given.get(name, [""])[0]}
    return see_other(f"/mail/{number}/{_address(**place)}")


def _text_of(octets: bytes) -> str:
    try:
        return plain_text_of(parse(octets))[0]
    except Exception:
        # Logged when the message is opened. The search goes on.
        return ""


def _has_words(text: str, words: list[str]) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words)


def _address(**parameters: str) -> str:
    return f"?{urlencode(parameters)}" if parameters else ""
