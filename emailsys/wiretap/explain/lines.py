"""Explanations of single lines: a command, a reply to a command, a message of the TLS handshake."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from emailsys.wiretap.explain.statuses import enhanced_status, mechanism, response_code
from emailsys.wiretap.explain.tables import Explanation, Part, explanation, part, table, table_of

_CODE: Final = re.compile(r"([2-5])([0-9])([0-9])(?=[ -]|$)")
# The lists of EHLO and CAPA.
_LISTS: Final = frozenset({"EHLO", "LHLO", "CAPA"})
_LOGINS: Final = frozenset({"AUTH", "SASL"})
# What a page shows of a word that a stranger sent.
_LONGEST_WORD: Final = 80


def verb_of(line: str) -> str:
    """Returns the first word of a line, in upper case."""
    words = line.split(None, 1)
    return words[0].upper() if words else ""


def command(protocol: str, line: str, *, in_login: bool = False) -> Explanation:
    """Explains a line that a client sent.

    @param in_login: whether the line answers a challenge of AUTH.
    """
    if in_login:
        return explanation(table("sasl")["line"]["cancel" if line.strip() == "*" else "response"])
    known = table(table_of(protocol))
    verb = verb_of(line)
    entry = known["command"].get(verb)
    if entry is None:
        return Explanation("Unknown command", known["unknown"]["command"], follows="An error.")
    return explanation(entry, parts=tuple(_arguments(known, verb, line.split()[1:])))


def _arguments(known: Mapping[str, Any], verb: str, words: list[str]) -> list[Part]:
    if verb == "AUTH" and words:
        return [mechanism(words[0][:_LONGEST_WORD])]
    if verb not in ("MAIL", "RCPT"):
        return []
    found = []
    for word in words:
        entry = known["parameter"].get(word.partition("=")[0].upper())
        # The path itself may look like a parameter: FROM:<SIZE>
        if entry is not None and not word.upper().startswith(("FROM:", "TO:")):
            found.append(part(word[:_LONGEST_WORD], entry))
    return found


def reply(protocol: str, line: str, command: str | None = None, *, is_first: bool = True) -> Explanation:
    """Explains one line of a reply.

    @param command: the line or the verb that it answers, "" for the greeting, None if that is not known.
    @param is_first: whether it is the first line of the reply: the next ones of EHLO and CAPA are extensions.
    """
    verb = None if command is None else verb_of(command)
    if table_of(protocol) == "pop3":
        return _pop3_reply(line, verb, is_first)
    return _smtp_reply(line, verb, is_first)


def _smtp_reply(line: str, verb: str | None, is_first: bool) -> Explanation:
    known = table("smtp")
    found = _CODE.match(line)
    if found is None:
        return Explanation("No reply", known["unknown"]["reply"], "RFC 5321 §4.2")
    text = line[4:]
    if verb in _LISTS and not is_first and found[1] == "2":
        return _extension(known, text)
    status = enhanced_status(text)
    parts = () if status is None else (status,)
    entry = known["reply"].get(found[0])
    if entry is not None:
        return explanation(entry, parts, verb)
    kind = known["class"][found[1]]
    topic = known["topic"].get(found[2], "")
    return explanation({**kind, "meaning": f"{kind['meaning']} {topic}".strip()}, parts)


def _pop3_reply(line: str, verb: str | None, is_first: bool) -> Explanation:
    known = table("pop3")
    status = verb_of(line)
    if not is_first:
        if line == ".":
            return Explanation("End", "A line with only a dot ends the list.", "RFC 1939 §3", "The next command.")
        if verb in _LISTS:
            return _extension(known, line)
        if verb == "AUTH":
            return Explanation("A mechanism", known["extension"]["SASL"]["meaning"], parts=(mechanism(status),))
        return Explanation("A line of the list", known["unknown"]["reply"], "RFC 1939 §3")
    entry = known["reply"].get(status)
    if entry is None:
        return Explanation("A line of an answer", known["unknown"]["reply"], "RFC 1939 §3")
    code = response_code(line[len(status) :].strip())
    return explanation(entry, () if code is None else (code,), verb)


def _extension(known: Mapping[str, Any], text: str) -> Explanation:
    # Old servers wrote "AUTH=LOGIN".
    words = text.replace("AUTH=", "AUTH ", 1).split()
    name = words[0].upper() if words else ""
    entry = known["extension"].get(name)
    if entry is None:
        return Explanation("Unknown extension", known["unknown"]["extension"], "RFC 5321 §2.2.2")
    mechanisms = tuple(mechanism(word[:_LONGEST_WORD]) for word in words[1:]) if name in _LOGINS else ()
    return explanation(entry, parts=mechanisms)


def message(name: str) -> Explanation:
    """Explains a message of the TLS handshake by its name, such as ClientHello, `alert NAME` or `encrypted record`."""
    known = table("tls")
    kind = "Alert" if name.startswith("alert") else "EncryptedRecord" if name == "encrypted record" else name
    entry = known["message"].get(kind)
    if entry is None:
        return Explanation("TLS message", known["unknown"]["message"], "RFC 8446")
    return explanation(entry)
