"""Puts a message into the Maildir of its recipient: `deliver-to-folder /srv/mail alice@example.org`."""

import os
import shutil
import sys
from pathlib import Path
from urllib.parse import quote

EX_TEMPFAIL = 75


def main() -> int:
    root, recipient = sys.argv[1:]
    folder = Path(root) / quote(recipient.lower(), safe="@")
    try:
        for part in ("tmp", "new", "cur"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        # The same message may come twice, and has the same name then. Names sort as the messages arrived.
        name = os.environ["QUEUE_ID"]
        with (folder / "tmp" / name).open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
            file.flush()
            os.fsync(file.fileno())
        (folder / "tmp" / name).rename(folder / "new" / name)
        new = os.open(folder / "new", os.O_RDONLY)
        os.fsync(new)
        os.close(new)
    except OSError as error:
        print(f"4.3.0 {error.strerror}: {error.filename}")
        return EX_TEMPFAIL
    return 0
