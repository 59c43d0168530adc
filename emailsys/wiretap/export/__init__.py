"""Exports: conversations, messages and verdicts as one HTML page that needs no network and no script.

A page is a title and blocks, in the order in which they are read::

    page_of(
        "How a message was sent",
        [
            Prose("What you see", ("One message, from its sender to its reader.",)),
            Verdicts("Verdicts", findings),              # those of emailsys.wiretap.verdict
            Dialogue(conversation, "alice submits it"),  # diagram, handshake, every line explained
            Structure("The message", tuple(rows), headers),
            Way("The way of the message", (Step("composed", "alice"), Step("submitted", "localhost", "s1"))),
            Table("Cipher suites", ("suite", "verdict"), rows),
        ],
    )

`octets_of_page` writes it as a file wants it. All texts are escaped and cut; none is trusted. `sequence_picture` is the
diagram of one conversation as an SVG file.
"""

from emailsys.wiretap.export.blocks import Block, Dialogue, Prose, Step, Structure, Table, Verdicts, Way
from emailsys.wiretap.export.page import octets_of_page, page_of, sequence_picture

__all__ = [
    "Block",
    "Dialogue",
    "Prose",
    "Step",
    "Structure",
    "Table",
    "Verdicts",
    "Way",
    "octets_of_page",
    "page_of",
    "sequence_picture",
]
