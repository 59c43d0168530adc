"""Draw the submission of a trial as a sequence diagram: what went over the wire, without what differs at each run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from emailsys.cli.tryout.round_trip import make_round_trip
from emailsys.wiretap.conversation import Conversation, Event, Kind
from emailsys.wiretap.export import sequence_picture

# Their sizes differ by a few octets from run to run: signatures and ids are not always of the same length.
_VARIES: Final = frozenset({"Certificate", "CertificateVerify", "NewSessionTicket"})
_CHANGES: Final = ((re.compile(r"\bqueued as \S+"), "queued as ID"), (re.compile(r"\bSIZE=\d+"), "SIZE=..."))


def record() -> Conversation:
    """The submission of a message to `emailsys try`, as its client saw it."""
    with tempfile.TemporaryDirectory(prefix="emailsys-picture-") as folder:
        program = subprocess.Popen(
            [sys.executable, "-m", "emailsys", "try", "--json", "--state", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert program.stdout is not None
        try:
            document = b""
            for line in program.stdout:
                document += line
                if line.rstrip() == b"}":
                    break
            report = json.loads(document)
            trip = make_round_trip(report["ports"], report["passwords"], Path(report["ca"]), datetime.now(UTC))
        finally:
            program.terminate()
            program.stdout.close()
            program.wait(60)
        return trip.transcripts[0].conversation()


def evened(conversation: Conversation) -> Conversation:
    """The conversation without what is another at each run: ports, ids, times and sizes."""
    return replace(
        conversation,
        peer="mail server",
        local="mail program",
        opened=0.0,
        events=tuple(_evened(event) for event in conversation.events),
    )


def _evened(event: Event) -> Event:
    text, octets = event.text, event.octets
    for changing, steady in _CHANGES:
        text = changing.sub(steady, text)
    if event.kind is Kind.BODY or text in _VARIES:
        octets = 0
    return replace(event, text=text, octets=octets)


def draw() -> str:
    """The picture of a submission that is recorded now."""
    return sequence_picture(evened(record()), times=False)
