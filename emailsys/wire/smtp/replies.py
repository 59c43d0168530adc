"""Reply reader: parses SMTP replies from a stream of octets, in bounded memory."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from emailsys.mail.reply import Reply

# RFC 5321 §4.5.3.1.5 allows 512 octets. Some servers write longer explanations, so four times that is accepted.
MAX_LINE: Final = 2048
# The longest useful reply is that to EHLO, with some thirty lines.
MAX_LINES: Final = 128
MAX_OCTETS: Final = 32 * 1024

# RFC 5321 §4.2: Reply-code = %x32-35 %x30-35 %x30-39, then a hyphen, a blank, or nothing.
_LINE: Final = re.compile(rb"([2-5][0-5][0-9])(?:([ -])(.*))?", re.DOTALL)
# RFC 3463 §2; RFC 2034 §4 puts it before the text of each line.
_ENHANCED: Final = re.compile(r"([245])\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})(?: +|$)")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
# Lines up to this length often repeat: "250 2.1.0 Ok".
_REPEATED: Final = 40


class ReplySyntaxError(ValueError):
    """The input is not a reply. The message names the fault and can be logged."""


def _printed(octets: bytes) -> str:
    """Decode a text of the peer for display: UTF-8 (RFC 6531 §3.7.4.2) or escaped. Control octets are escaped."""
    text = octets.decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _parse(line: bytes) -> tuple[int, bool, str, str]:
    """Parse a line: code, whether it is the last line, enhanced code and text."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise ReplySyntaxError(f"what is no reply: {_printed(line[:80])!r}")
    code = int(found[1])
    text = _printed(found[3] or b"")
    enhanced = _ENHANCED.match(text)
    # RFC 2034 §4: the class is the first digit of the code. Otherwise it only looks like an enhanced code.
    if enhanced is None or enhanced[1] != line[:1].decode("ascii"):
        return code, found[2] != b"-", "", text.rstrip()
    return code, found[2] != b"-", enhanced[0].rstrip(), text[enhanced.end() :].rstrip()


@lru_cache(maxsize=512)
def _repeated(line: bytes) -> Reply | None:
    """Return the reply of a single short line; None if more lines follow."""
    code, last, enhanced, text = _parse(line)
    return Reply(code, enhanced, text) if last else None


class ReplyReader:
    """Converts received octets to replies.

    A line may end with LF alone, because nothing here decides where a message ends.
    """

    __slots__ = ("_buffer", "_code", "_enhanced", "_octets", "_position", "_texts")

    def __init__(self) -> None:
        self._buffer = b""
        self._position = 0
        self._texts: list[str] = []
        self._code = 0
        self._enhanced = ""
        self._octets = 0

    @property
    def waiting(self) -> int:
        """How many octets were fed and belong to no reply that was taken, lines of an unfinished one among them."""
        return len(self._buffer) - self._position + self._octets

    def feed(self, octets: bytes) -> None:
        """Take octets from the server."""
        if self._position < len(self._buffer):
            octets = self._buffer[self._position :] + octets
        self._buffer = octets
        self._position = 0

    def discard(self) -> None:
        """Forget all that waits."""
        self._buffer = b""
        self._position = 0
        self._forget_lines()

    def _forget_lines(self) -> None:
        self._texts = []
        self._code = 0
        self._enhanced = ""
        self._octets = 0

    def next_reply(self) -> Reply | None:
        """The next reply, None until more comes. The lines of a longer one are joined by line feeds.

        @raise ReplySyntaxError: no reply, a code that changes from line to line, or more than the bounds allow. The
            connection is of no use any more.
        """
        while True:
            start = self._position
            end = self._buffer.find(b"\n", start)
            if end < 0:
                if len(self._buffer) - start > MAX_LINE:
                    raise ReplySyntaxError(f"a reply line longer than {MAX_LINE} octets")
                return None
            if end - start > MAX_LINE:
                raise ReplySyntaxError(f"a reply line longer than {MAX_LINE} octets")
            self._position = end + 1
            line = self._buffer[start : end - 1 if end > start and self._buffer[end - 1] == 0x0D else end]
            if not self._texts and len(line) < _REPEATED:
                reply = _repeated(line)
                if reply is not None:
                    return reply
            reply = self._add(line)
            if reply is not None:
                return reply

    def _add(self, line: bytes) -> Reply | None:
        code, last, enhanced, text = _parse(line)
        if not self._texts:
            self._code = code
            self._enhanced = enhanced
        elif code != self._code:
            # RFC 5321 §4.2.1: the code of each line must be the same.
            raise ReplySyntaxError(f"a reply with both {self._code} and {code}")
        self._texts.append(text)
        self._octets += len(line)
        if len(self._texts) > MAX_LINES or self._octets > MAX_OCTETS:
            raise ReplySyntaxError("an endless reply")
        if not last:
            return None
        reply = Reply(code, self._enhanced, "\n".join(self._texts))
        self._forget_lines()
        return reply
