"""Verbs on many messages: one look-up for all, and totals in place of a line for each."""

from __future__ import annotations

import json
from pathlib import Path

from emailsys.cli.mail.arguments import folder_of
from emailsys.cli.mail.verbs import marks
from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import Addition, Folder
from emailsys.config.exit_status import Exit
from tests.unit.cli.mail.mail_case import Case


class ManyTests(Case):
    """Twenty messages in Inbox."""

    def setUp(self) -> None:
        super().setUp()
        text = "From: bob@example.org\r\nSubject: %d\r\n\r\nx\r\n"
        inbox = Folder("alice", "Inbox")
        self.keys = self.mailbox.archive.add_many([Addition((text % at).encode(), inbox) for at in range(20)])

    def test_a_move_looks_up_the_target_once(self) -> None:
        """It took ten times as long as a deletion of as many messages."""
        asked: list[object] = []

        def counted(*arguments: object) -> Folder:
            asked.append(arguments)
            return folder_of(*arguments)  # type: ignore[arg-type]

        self.patch(marks, "folder_of", counted)
        self.fine("move", "-", "--to", "Archive", typed="\n".join(self.keys).encode())
        self.assertEqual((len(asked), len(self.subjects("Archive"))), (1, 20))

    def test_undelete_moves_together_and_tells_the_totals(self) -> None:
        """Each message goes to its former folder, in one change for each folder."""
        self.fine("move", *self.keys[:5], "--to", "Archive")
        self.fine("delete", *self.keys)
        moves: list[object] = []
        move = Archive.move

        def counted(archive: Archive, keys: list[str], target: Folder) -> None:
            moves.append(target)
            move(archive, keys, target)

        self.patch(Archive, "move", counted)
        _, _, err = self.run_it("undelete", *self.keys)
        self.assertEqual(len(moves), 2)
        self.assertEqual(err, "5 messages restored to alice/Archive.\n15 messages restored to alice/Inbox.\n")

    def test_an_import_walks_subfolders_and_says_where_from(self) -> None:
        """.eml and .mbox files and maildirs; a file that cannot be read is named, and a second import adds nothing."""
        tree = self.folder / "tree"
        for path, octets in (
            ("a.eml", b"Subject: a\n\nx\n"),
            ("notes.txt", b"no message"),
            ("deep/er/b.eml", b"Subject: b\n\nx\n"),
            ("deep/old.mbox", b"From x Mon Jan  5 10:00:00 2026\nSubject: c\n\nx\n\n"),
            ("box/cur/1:2,S", b"Subject: d\n\nx\n"),
        ):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(octets)
        (tree / "deep" / "gone.eml").symlink_to("/nowhere")
        (box := tree / "box" / ".Sent" / "cur").mkdir(parents=True)
        (box / "2").write_bytes(b"Subject: e\n\nx\n")
        status, _, err = self.run_it("import", str(tree), "--to", "Archive")
        self.assertEqual(status, Exit.IO)
        self.assertEqual(sorted(self.subjects("Archive")), ["a", "b", "c", "d"])
        for place in (tree, tree / "deep", Path(tree / "deep" / "er")):
            self.assertIn(f"1 message from {place}\n", err)
        self.assertIn(f"2 messages from {tree / 'box'}\n", err)
        self.assertIn(f"Not imported: {tree}/deep/gone.eml: No such file", err)
        self.assertIn("0 messages imported", self.run_it("import", str(tree), "--to", "Archive")[2])
        # The log of the index is not left behind: after a large import, it is tens of megabytes long.
        (log,) = self.folder.rglob("index.sqlite-wal")
        self.assertEqual(log.stat().st_size, 0)
        status, out, _ = self.run_it("import", str(tree), "--to", "Archive", "--json")
        document = json.loads(out)
        self.assertEqual((status, document["by_subfolder"]), (Exit.IO, {"Archive.Sent": 1}))
        self.assertEqual(document["left_out"], [f"{tree}/deep/gone.eml: No such file or directory"])
