"""A store, a configuration and a client archive of the first release open unchanged with today's programs."""

from __future__ import annotations

import hashlib
import json
import os
import poplib
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs.daemon import DOMAIN, PATIENCE, Daemon
from tests.live.programs.person import CHECKOUT, PROGRAM, Person
from tests.ports import free_ports

DATA = Path(__file__).resolve().parents[2] / "data"
PASSWORD = "correct horse battery"


def unpack(name: str, folder: Path) -> None:
    """Unpack an archive of tests/data."""
    with tarfile.open(DATA / name) as archive:
        archive.extractall(folder, filter="data")


def expected() -> Any:
    """What the programs that made the files said about them."""
    return json.loads((DATA / "first-expected.json").read_text())


class KeptStore(Daemon):
    """A daemon on the store and the configuration of the first release, on ports of today."""

    def __init__(self, folder: Path) -> None:
        self._kept = folder
        super().__init__()

    def write_config(self) -> None:
        if not self.state.exists():
            (self._kept / "state").rename(self.state)
        super().write_config()
        kept = (self._kept / "emailsys.toml").read_text()
        new = iter(self.ports.values())
        self.config_path.write_text(re.sub(r"localhost:\d+", lambda _: f"localhost:{next(new)}", kept))


class StoreTests(SynchronousTestCase):
    """The operator's commands and the daemon."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        unpack("first-store.tar.xz", self.folder)
        self.expected = expected()

    def ask(self, *words: str) -> Any:
        """The JSON that an operator's command prints, run beside no daemon."""
        places = {"EMAILSYS_STATE": str(self.folder / "state"), "EMAILSYS_CONFIG": str(self.folder / "emailsys.toml")}
        done = subprocess.run(
            [*PROGRAM, *words, "--json"],
            capture_output=True,
            env={**os.environ, **places, "PYTHONPATH": str(CHECKOUT)},
            cwd=self.folder,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return json.loads(done.stdout)

    def test_operators_find_what_they_left(self) -> None:
        """Domains, users, aliases, routes, the queue and the ledger."""
        wanted = self.expected
        self.assertEqual([one["name"] for one in self.ask("domain", "list")], wanted["domains"])
        self.assertEqual(sorted(one["address"] for one in self.ask("user", "list")), wanted["users"])
        self.assertEqual({one["name"]: one["targets"] for one in self.ask("alias", "list")}, wanted["aliases"])
        self.assertEqual(len(self.ask("route", "list")), len(wanted["routes"]))
        queue = sorted([one["queue_id"], one["recipient"], one["sender"]] for one in self.ask("queue", "list"))
        self.assertEqual(queue, wanted["queue"])
        checked = self.ask("verify")
        self.assertEqual(checked["flaws"], [])
        self.assertEqual((checked["messages"], checked["octets"]), (wanted["messages"], wanted["octets"]))

    def test_maildrops_are_served_octet_for_octet(self) -> None:
        """The daemon starts, the passwords hold, and UIDL and RETR answer as before."""
        daemon = KeptStore(self.folder)
        self.addCleanup(daemon.close)
        for name, drop in self.expected["maildrops"].items():
            pop3 = poplib.POP3("127.0.0.1", daemon.ports["pop3"], timeout=PATIENCE)
            pop3.user(f"{name}@{DOMAIN}")
            pop3.pass_(PASSWORD)
            found = []
            for line in pop3.uidl()[1]:
                number, uid = line.decode().split()
                octets = b"\r\n".join(pop3.retr(int(number))[1]) + b"\r\n"
                found.append({"uid": uid, "octets": len(octets), "sha256": hashlib.sha256(octets).hexdigest()})
            pop3.quit()
            self.assertEqual(found, drop, name)


class ArchiveTests(SynchronousTestCase):
    """The mail client."""

    def setUp(self) -> None:
        home = Path(self.mktemp()).absolute()
        self.person = Person(home)
        unpack("first-archive.tar.xz", home)
        # The servers of that account are gone: nobody listens there.
        settings = home / "config/emailsys/mail.toml"
        port = free_ports(1)[0]
        settings.write_text(re.sub(r"port = \d+", f"port = {port}", settings.read_text()))
        self.expected = expected()["client"]

    def check(self) -> None:
        """Compare everything that the verbs say with what they said then."""
        person, wanted = self.person, self.expected
        folders = {one["folder"]: one["messages"] for one in person.json("folder", "list")}
        self.assertEqual(folders, wanted["folders"])
        rows = [one for name in ("Inbox", "Archive", "Drafts") for one in person.json("list", name)]
        self.assertEqual(sorted([one["key"], one["subject"], one["folder"]] for one in rows), wanted["subjects"])
        self.assertEqual([one["key"] for one in rows if one["tags"] == ["important"]], wanted["tagged"])
        self.assertEqual([one["key"] for one in rows if "flagged" in one["flags"]], wanted["flagged"])
        outbox = [[one["key"], one["recipients"]] for one in person.json("outbox", "list")]
        self.assertEqual(outbox, wanted["outbox"])
        self.assertEqual([one["key"] for one in person.json("search", "pieces")], wanted["found"])
        for key, digest in wanted["raw"].items():
            raw = subprocess.run(
                [*PROGRAM, "mail", "raw", key],
                capture_output=True,
                env=person.environment,
                cwd=person.home,
                timeout=PATIENCE,
                check=True,
            ).stdout
            self.assertEqual(hashlib.sha256(raw).hexdigest(), digest, key)

    def test_the_archive_opens_unchanged(self) -> None:
        """Folders, flags, tags, drafts, the outbox, searches, and each message octet for octet."""
        self.check()

    def test_the_files_alone_are_enough(self) -> None:
        """The index is made anew from the files of that version."""
        (self.person.home / "data/emailsys/mail/index.sqlite").unlink()
        self.assertEqual(self.person.run("reindex").returncode, 0)
        self.check()
