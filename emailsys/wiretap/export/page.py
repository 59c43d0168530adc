"""Exported pages: templates filled with blocks, and the diagram of a conversation as a picture."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from emailsys.mail.message.structure import Row
from emailsys.wiretap import explain
from emailsys.wiretap.conversation import Conversation, Direction, Event, Role
from emailsys.wiretap.export import wording
from emailsys.wiretap.export.blocks import Block, Dialogue, Structure
from emailsys.wiretap.export.handshake import handshake
from emailsys.wiretap.export.mime_tree import NARROW_TREE, WIDE_TREE, tree
from emailsys.wiretap.export.sequence import NARROW, WIDE, diagram, sides

# Lines of a conversation that are explained one by one, at its beginning and at its end.
_FIRST_LINES: Final = 300
_LAST_LINES: Final = 100
# SMTP, POP3S; longer names of protocols are words, such as submission.
_LONGEST_ACRONYM: Final = 5
# Lines of a table, and parts of a message.
_MOST_ROWS: Final = 1_000
# Characters of any text.
_LONGEST: Final = 5_000


def page_of(title: str, blocks: Sequence[Block], *, lead: str = "") -> str:
    """Returns a whole HTML document.

    @param lead: a sentence or two below the title.
    """
    templates = _templates()
    style = templates.get_template("page.css").render()
    # The hash lets the page's own style in and nothing else: no style that a text could smuggle in.
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    ids = {
        block.conversation.id: f"part-{number}"
        for number, block in enumerate(blocks, start=1)
        if isinstance(block, Dialogue)
    }
    return templates.get_template("page.html").render(
        title=title, lead=lead, blocks=blocks, style=style, digest=digest, ids=ids
    )


def dialogue_of(conversation: Conversation) -> Markup:
    """Returns a conversation as part of a page, which needs the style `blocks_style`."""
    return _part_of("dialogue.html", Dialogue(conversation))


def tree_of(rows: Sequence[Row]) -> Markup:
    """Returns the drawn MIME tree of a message as part of a page, which needs the style `blocks_style`."""
    return _part_of("tree.html", Structure("", rows))


def _part_of(template: str, block: Block) -> Markup:
    # The template has escaped all texts.
    return Markup(_templates().get_template("block.html").render(template=template, block=block))  # noqa: S704


def blocks_style() -> str:
    """Returns the style sheet of drawings and explained lines. The page around them defines the colours."""
    return _templates().get_template("blocks.css").render()


def octets_of_page(page: str) -> bytes:
    """Returns a page as a file holds it."""
    return page.encode("utf-8")


def sequence_picture(conversation: Conversation, *, times: bool = True) -> str:
    """Returns the sequence diagram of a conversation as an SVG document.

    @param times: whether to show when each line went over the wire.
    """
    return _templates().get_template("picture.svg").render(drawn=diagram(conversation, WIDE, times=times))


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader(__name__.rpartition(".")[0]),
        autoescape=select_autoescape(("html", "svg"), default_for_string=True),
        undefined=StrictUndefined,
        finalize=_safe,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "said": wording.said,
        "octets": wording.octets,
        "elapsed": wording.elapsed,
        "moment": wording.moment,
        "clock_time": wording.clock_time,
    }
    found.globals |= {
        "name_of": _name_of,
        "drawings_of": _drawings_of,
        "trees_of": _trees_of,
        "handshake_of": handshake,
        "lines_of": _lines_of,
        "standards_of": _standards_of,
        "sides": sides,
        "sent_by_client": _sent_by_client,
        "both_ways": _both_ways,
        "most_rows": _MOST_ROWS,
    }
    return found


def _safe(value: object) -> object:
    """Convert the value of an expression before it is escaped. The templates call this for every expression."""
    return value if isinstance(value, (Markup, int, float)) else wording.said(value, _LONGEST)


def _name_of(block: Block) -> str:
    """The title of a block."""
    if block.title or not isinstance(block, Dialogue):
        return block.title
    conversation = block.conversation
    other = conversation.peer_name or conversation.peer
    protocol = conversation.protocol
    name = protocol.upper() if len(protocol) <= _LONGEST_ACRONYM else protocol.capitalize()
    return f"{name} {'from' if conversation.role is Role.SERVER else 'with'} {other}"


def _drawings_of(conversation: Conversation) -> list[Any]:
    """The diagram for wide pages and the one for narrow ones."""
    return [diagram(conversation, WIDE), diagram(conversation, NARROW)]


def _standards_of(items: Sequence[tuple[Event, explain.Explanation] | str]) -> list[tuple[int, str]]:
    """The RFCs that the lines of a conversation name, each with its title."""
    numbers = {number for item in items if not isinstance(item, str) for number in item[1].standards}
    return [(number, title) for number in sorted(numbers) if (title := explain.title_of(number))]


def _trees_of(block: Structure) -> list[Any]:
    return [tree(block.rows, WIDE_TREE), tree(block.rows, NARROW_TREE)]


def _lines_of(conversation: Conversation) -> list[tuple[Event, explain.Explanation] | str]:
    """Each event with its explanation; in place of those in the middle, a text that counts them."""
    found: list[tuple[Event, explain.Explanation] | str] = list(
        explain.explained(conversation.protocol, conversation.events)
    )
    left = len(found) - _FIRST_LINES - _LAST_LINES
    if left > 0:
        found[_FIRST_LINES:-_LAST_LINES] = [f"{left:,} more events are not shown here."]
    return found


def _sent_by_client(conversation: Conversation, event: Event) -> bool:
    return (event.direction is Direction.OUT) is (conversation.role is Role.CLIENT)


def _both_ways(conversation: Conversation) -> tuple[int, int]:
    """The octets that this host received, and those that it sent."""
    return conversation.octets(Direction.IN), conversation.octets(Direction.OUT)
