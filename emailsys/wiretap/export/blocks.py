"""Blocks of an exported page: what each shows, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from emailsys.mail.message.structure import Row
from emailsys.wiretap.conversation import Conversation
from emailsys.wiretap.verdict import Finding


@dataclass(frozen=True, slots=True)
class Prose:
    """Paragraphs of text."""

    template: ClassVar[str] = "prose"
    title: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Findings, each with its verdict."""

    template: ClassVar[str] = "verdicts"
    title: str
    findings: Sequence[Finding]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table. Its first column names the row.

    @ivar links: for each row, the name of a file beside the page to which its first column leads; () for none.
    """

    template: ClassVar[str] = "table"
    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    text: str = ""
    links: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation: its sequence diagram, the TLS handshake, and every line explained.

    @ivar title: "" for one made of the protocol and the peer.
    """

    template: ClassVar[str] = "dialogue"
    conversation: Conversation
    title: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Structure:
    """The MIME tree of a message.

    @ivar headers: the fields to show above the tree, decoded.
    """

    template: ClassVar[str] = "structure"
    title: str
    rows: Sequence[Row]
    headers: Sequence[tuple[str, str]] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a message on its way.

    @ivar where: the person, program or host.
    @ivar conversation: the id of the conversation of this step, if the page has it.
    @ivar at: in seconds since 1970, None if it is not known.
    """

    title: str
    where: str
    text: str = ""
    conversation: str = ""
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """The way of one message from its composer to its reader."""

    template: ClassVar[str] = "way"
    title: str
    steps: Sequence[Step] = field(default=())
    text: str = ""


Block: TypeAlias = Prose | Verdicts | Table | Dialogue | Structure | Way
