"""Operations for the messages of a maildrop: list, search, read, wait and delete."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from emailsys.interfaces import BEFORE_ALL, IMaildropReading, Listed, MaildropInUse, StoreError
from emailsys.interfaces.operators import Scope
from emailsys.mail.message.headers import header_end
from emailsys.telemetry import Telemetry
from emailsys.web.api.cursor import PAGE, page_of, read_cursor, write_cursor
from emailsys.web.api.message_search import CONDITIONS, Conditions, conditions_of
from emailsys.web.api.message_values import MESSAGE, SUMMARY, message, part_of
from emailsys.web.api.operation import MESSAGE_TYPE, Call, Operation, Parameter, Result, Success, in_path
from emailsys.web.api.problem import Problem, not_found
from emailsys.web.api.schema import choice, count, or_null, record, text
from emailsys.web.api.waiting import MAX_SECONDS, Waiting

# Seconds that one page of a search may take, and messages that it looks at.
_PAGE_SECONDS: Final = 2.0
_PAGE_MESSAGES: Final = 5000
# Messages that are read from the list at once.
_STEP: Final = 100
# Octets in which most header sections end, and the longest one with what delivery puts in front.
_HEAD: Final = 16 * 1024
_LONG_HEAD: Final = 17 * 1024 * 1024
# Octets of a message that is parsed. Larger ones can be fetched raw.
_MAX_PARSED: Final = 64 * 1024 * 1024
# Messages of which it is remembered that their exception was logged.
_MAX_TOLD: Final = 1000
_OCTETS: Final = "application/octet-stream"
# Characters that a file name has in a header field.
_NOT_IN_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
# Octets are shown by no browser: not as HTML, not as a script.
_SAFE: Final = (
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
    ("X-Content-Type-Options", "nosniff"),
)
_GONE: Final = {404: "There is no such message."}
_ID: Final = in_path("id", text("The id of the message.", 40, 1))


class Mail:
    """The messages of the account of the token."""

    def __init__(
        self,
        reading: IMaildropReading,
        waiting: Waiting,
        clock: IReactorTime,
        in_thread: Callable[..., Awaitable[Any]],
        telemetry: Telemetry,
    ) -> None:
        self._reading = reading
        self._waiting = waiting
        self._clock = clock
        self._in_thread = in_thread
        self._telemetry = telemetry
        # Messages that led to an unexpected exception, which is logged once.
        self._told: dict[str, None] = {}

    async def list_messages(self, call: Call) -> Result:
        """Answer GET /messages.

        Message by message, until the page is full or the time is over. Then `next` continues after the last one that
        was looked at.
        """
        values, account_id = call.values, _account_id(call)
        wanted, is_newest_first = conditions_of(values), values["order"] == "newest"
        cursor = read_cursor(values.get("cursor"), str)
        at = cursor[0] if cursor else ("" if is_newest_first else BEFORE_ALL)
        items: list[Any] = []
        deadline, looked = self._clock.seconds() + _PAGE_SECONDS, 0
        while True:
            # One more than is looked at tells whether a page follows.
            rows = await self._rows(account_id, at, is_newest_first)
            shown = rows[:_STEP]
            summaries = await self._summaries(account_id, shown, wanted)
            for row in shown:
                at, looked = row.uid, looked + 1
                found = await self._examine(account_id, row, wanted, summaries)
                if found is not None:
                    items.append(found)
                is_over = looked >= _PAGE_MESSAGES or self._clock.seconds() > deadline
                if len(items) >= values["limit"] or is_over:
                    return Result({"items": items, "next": write_cursor(at) if row is not rows[-1] else None})
            if len(rows) <= _STEP:
                return Result({"items": items, "next": None})

    async def _rows(self, account_id: int, at: str, is_newest_first: bool) -> Sequence[Listed]:
        if is_newest_first:
            return await self._reading.page(account_id, _STEP + 1, before=at)
        return tuple(reversed(await self._reading.page(account_id, _STEP + 1, after=at)))

    async def _heads(self, account_id: int, rows: Sequence[Listed], wanted: Conditions) -> Mapping[str, bytes]:
        """Return the beginnings of messages with their header sections."""
        uids = [row.uid for row in rows if wanted.admits(row)]
        if not uids or wanted.needs_text:
            return {}
        heads = dict(await self._reading.heads(account_id, uids, _HEAD))
        for row in rows:
            head = heads.get(row.uid)
            if head is not None and row.octets > len(head) and header_end(head, 0) is None:
                for uid, found in (await self._reading.heads(account_id, [row.uid], _LONG_HEAD)).items():
                    # Without the body, which may be large: a step keeps the heads of many messages.
                    end = header_end(found)
                    heads[uid] = found if end is None else found[: end + 2]
        return heads

    async def _summaries(
        self, account_id: int, rows: Sequence[Listed], wanted: Conditions
    ) -> Mapping[str, dict[str, Any] | None]:
        """Return the summaries of messages that meet the conditions of their header sections."""
        heads = await self._heads(account_id, rows, wanted)

        def parse_all() -> list[tuple[str, _Read]]:
            return [(row.uid, _read(wanted, heads[row.uid], row)) for row in rows if row.uid in heads]

        # A hundred header sections take the reactor's thread for longer than an SMTP session should wait.
        return {uid: self._told_of(uid, found) for uid, found in await self._in_thread(parse_all)}

    def _told_of(self, uid: str, read: _Read) -> dict[str, Any] | None:
        """Return what was read of a message, and log the exception if there is one."""
        found, error = read
        if error is not None and uid not in self._told:
            self._told[uid] = None
            if len(self._told) > _MAX_TOLD:
                del self._told[next(iter(self._told))]
            self._telemetry.exception("api-exception", Failure(error), uid=uid)  # type: ignore[no-untyped-call]
        return found

    async def _examine(
        self, account_id: int, row: Listed, wanted: Conditions, summaries: Mapping[str, dict[str, Any] | None]
    ) -> dict[str, Any] | None:
        """Return the summary of a message that meets the conditions, else None."""
        if not wanted.admits(row):
            return None
        if not wanted.needs_text:
            return summaries.get(row.uid)
        if row.octets > _MAX_PARSED:
            return None
        try:
            octets = await self._whole(account_id, row.uid)
        except StoreError:
            # It was deleted meanwhile, or is damaged, which is logged.
            return None
        return self._told_of(row.uid, await self._in_thread(_read, wanted, octets, row))

    async def _whole(self, account_id: int, uid: str) -> bytes:
        return b"".join([piece async for piece in self._reading.pieces(account_id, uid)])

    async def _row(self, call: Call) -> Listed:
        row: Listed | None = await self._reading.find(_account_id(call), call.values["id"])
        if row is None:
            raise not_found("There is no such message in this maildrop.", "GET /messages lists them.")
        return row

    async def _parsed(self, call: Call, function: Callable[..., Any], *arguments: Any) -> Any:
        row = await self._row(call)
        if row.octets > _MAX_PARSED:
            raise Problem(
                422,
                "too-large",
                "The message is too large to be taken apart",
                help="Fetch it raw: GET /messages/{id}/raw.",
            )
        octets = await self._whole(_account_id(call), row.uid)
        return await self._in_thread(function, octets, *(arguments or (row,)))

    async def get_message(self, call: Call) -> Result:
        """Answer GET /messages/{id}."""
        found = await self._parsed(call, message)
        await self._reading.note_read(_account_id(call), call.values["id"])
        return Result(found)

    async def get_part(self, call: Call) -> Result:
        """Answer GET /messages/{id}/parts/{part}."""
        found = await self._parsed(call, part_of, call.values["part"])
        if found is None:
            raise not_found("The message has no such part with a body of its own.", "GET /messages/{id} lists them.")
        octets, name = found
        shown = _NOT_IN_NAME.sub("_", name)[:100].strip("._") or "part"
        return Result(octets, content_type=_OCTETS, headers=(*_SAFE, _as_file(shown)))

    async def get_raw(self, call: Call) -> Result:
        """Answer GET /messages/{id}/raw."""
        row = await self._row(call)
        pieces = self._reading.pieces(_account_id(call), row.uid)
        await self._reading.note_read(_account_id(call), row.uid)
        return Result(pieces, content_type=MESSAGE_TYPE, headers=(*_SAFE, _as_file(f"{row.uid}.eml")))

    async def delete(self, call: Call) -> Result:
        """Answer DELETE /messages/{id}."""
        row = await self._row(call)
        try:
            await self._reading.delete(_account_id(call), [row.uid])
        except MaildropInUse:
            raise Problem(
                409,
                "in-use",
                "A POP3 session has locked the maildrop",
                help="Try again in a moment.",
                headers=[("Retry-After", "5")],
            ) from None
        return Result(status=204)

    async def wait(self, call: Call) -> Result:
        """Answer GET /messages/wait."""
        values, account_id = call.values, _account_id(call)
        wanted = conditions_of(values)
        cursor = read_cursor(values.get("after"), str)
        after = cursor[0] if cursor else BEFORE_ALL
        # A look at all the mail of a large maildrop takes longer than the caller waits. `next` continues it.
        deadline = self._clock.seconds() + max(float(values["timeout"]), _PAGE_SECONDS)

        async def look() -> dict[str, Any] | None:
            nonlocal after
            while rows := await self._rows(account_id, after, False):
                summaries = await self._summaries(account_id, rows, wanted)
                for row in rows:
                    found = await self._examine(account_id, row, wanted, summaries)
                    after = row.uid
                    if found is not None or (wanted.needs_text and self._clock.seconds() > deadline):
                        return found
                if self._clock.seconds() > deadline:
                    return None
            return None

        found = await self._waiting.wait(account_id, float(values["timeout"]), look)
        return Result({"message": found, "next": write_cursor(after)})


# The summary of a message, None if it does not meet the conditions, and the exception if it could not be read.
_Read = tuple[dict[str, Any] | None, Exception | None]


def _read(wanted: Conditions, octets: bytes, row: Listed) -> _Read:
    """Read a message. One that leads to an unexpected exception counts as empty, so that the list goes on."""
    try:
        return wanted.summary_if_met(octets, row), None
    except Exception as error:
        return wanted.summary_if_met(b"", row), error


def _account_id(call: Call) -> int:
    # A scope of mail is never without an account.
    assert call.token.account_id is not None
    return call.token.account_id


def _as_file(name: str) -> tuple[str, str]:
    return ("Content-Disposition", f'attachment; filename="{name}"')


def mail_operations(mail: Mail) -> tuple[Operation, ...]:
    """Return the operations."""
    read = Scope.MAIL_READ
    return (
        Operation(
            "listMessages",
            "GET",
            "/messages",
            "List or search the messages.",
            read,
            mail.list_messages,
            Success("A page of messages.", page_of(SUMMARY)),
            "Mail",
            "With conditions, only messages that meet all of them. A page may be empty although `next` is not null: "
            f"one looks at messages for about {_PAGE_SECONDS:g} seconds.",
            (
                *CONDITIONS,
                Parameter("order", choice("The order of arrival.", "newest", "oldest", default="newest")),
                *PAGE,
            ),
        ),
        Operation(
            "waitForMessage",
            "GET",
            "/messages/wait",
            "Wait for a message.",
            read,
            mail.wait,
            Success(
                "The first message that meets all conditions, or null if none came in time.",
                record(
                    {
                        "message": or_null(SUMMARY),
                        "next": text("Pass it as `after` to wait for a later message."),
                    }
                ),
            ),
            "Mail",
            "Answers at once if such a message is there already. To wait only for new ones, pass the `next` of an "
            "answer before as `after`.",
            (
                *CONDITIONS,
                Parameter("timeout", count("Seconds to wait at most.", 0, MAX_SECONDS, default=30)),
                Parameter("after", text("Only messages after this `next`.", 400, 1)),
            ),
            problems={429: "Too many clients wait."},
            seconds=MAX_SECONDS + 30.0,
        ),
        Operation(
            "getMessage",
            "GET",
            "/messages/{id}",
            "Read a message.",
            read,
            mail.get_message,
            Success("The message, parsed.", MESSAGE),
            "Mail",
            parameters=(_ID,),
            problems=_GONE,
        ),
        Operation(
            "getRawMessage",
            "GET",
            "/messages/{id}/raw",
            "Fetch a message as it was received.",
            read,
            mail.get_raw,
            Success("The octets of the message.", None, MESSAGE_TYPE),
            "Mail",
            parameters=(_ID,),
            problems=_GONE,
        ),
        Operation(
            "getPart",
            "GET",
            "/messages/{id}/parts/{part}",
            "Fetch a part of a message, decoded.",
            read,
            mail.get_part,
            Success("The octets of the part.", None, _OCTETS),
            "Mail",
            "Its media type is in GET /messages/{id}; it is never sent as such.",
            (_ID, in_path("part", text("The number of the part, such as 1.2.", 100, 1))),
            problems=_GONE,
        ),
        Operation(
            "deleteMessage",
            "DELETE",
            "/messages/{id}",
            "Delete a message.",
            Scope.MAIL_DELETE,
            mail.delete,
            Success("Deleted. This cannot be undone.", status=204),
            "Mail",
            "It takes the lock of the maildrop only for that moment.",
            (_ID,),
            problems={**_GONE, 409: "A POP3 session has locked the maildrop."},
        ),
    )
