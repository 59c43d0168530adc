"""The safeguards of the store as mutants: the edit that takes one out, and the harness that must notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Mutant:
    """A safeguard taken out.

    @ivar why: what the safeguard prevents.
    @ivar edits: file, text, and the text in its place.
    @ivar harness: the harness that must end with 1, and its options.
    @ivar tries: runs that the harness has, where chance decides.
    """

    name: str
    why: str
    edits: tuple[tuple[str, str, str], ...]
    harness: tuple[str, ...]
    tries: int = 1


MUTANTS: Final = (
    Mutant(
        "commit-not-synced",
        "A power cut after a 250 loses the message.",
        (("emailsys/store/engine/sqlite_connections.py", "PRAGMA synchronous=FULL;", "PRAGMA synchronous=NORMAL;"),),
        ("power_loss", "--seconds", "4", "--cuts", "60"),
    ),
    Mutant(
        "reply-before-commit",
        "SIGKILL after a 250 loses the message.",
        (
            (
                "emailsys/store/message/intake.py",
                "            await self._intake.database.insert(rows)\n",
                "            Deferred.fromCoroutine(self._intake.database.insert(rows))\n",
            ),
        ),
        ("kill_rounds", "--rounds", "5"),
        tries=3,
    ),
    Mutant(
        "failed-sync-is-proof",
        "After a failed sync, a log that SQLite rebuilt from memory is taken for what is on disk (decision 0022).",
        (
            (
                "emailsys/store/engine/sqlite.py",
                "    def revoke_proof(self) -> None:\n        self._proven = False\n",
                "    def revoke_proof(self) -> None:\n        return\n",
            ),
        ),
        ("failed_sync",),
        tries=2,
    ),
    Mutant(
        "start-is-proof",
        "A start after a failed sync takes the log for what is on disk (decision 0022).",
        (
            (
                "emailsys/store/engine/sqlite.py",
                "                self._empty(connection)\n        except",
                "                raw.executescript('BEGIN IMMEDIATE; ROLLBACK')\n        except",
            ),
            (
                "emailsys/store/engine/wal.py",
                "        self.close()\n        length = ",
                "        return self.close()\n        length = ",
            ),
        ),
        ("failed_sync", "--restart"),
        tries=2,
    ),
    Mutant(
        "vanished-file",
        "A database or a log that was removed goes on to take mail, which no restart finds.",
        (
            (
                "emailsys/store/engine/files.py",
                "        for name in names:\n",
                "        for name in ():\n",
            ),
        ),
        ("faults", "deleted_log"),
    ),
    Mutant(
        "folder-not-synced",
        "A power cut after the first start takes the state folder, and with it all mail.",
        (
            (
                "emailsys/store/engine/file_locks.py",
                "        sync_directory(path.parent)\n    except",
                "        path.is_dir()\n    except",
            ),
        ),
        ("sync_order", "--times", "1"),
    ),
    Mutant(
        "reader-may-write",
        "A reader commits a frame outside the commit lock, which the proof after a failed sync does not expect.",
        (
            ("emailsys/store/engine/sqlite_connections.py", "?mode=ro", "?mode=rw"),
            (
                "emailsys/store/engine/sqlite_connections.py",
                "PRAGMA query_only=ON;",
                "PRAGMA auto_vacuum=INCREMENTAL;",
            ),
        ),
        ("sync_order", "--times", "1", "--only", "one maildrop"),
    ),
    Mutant(
        "checksum-not-compared",
        "An octet that changed on the disk is given away as if it had been accepted so.",
        (
            (
                "emailsys/store/commit/checksum.py",
                "    if stored is not None:\n",
                "    if stored is not None:\n        return True\n    if stored is not None:\n",
            ),
            (
                "emailsys/store/maildrop/first_piece.py",
                "    if count != 1 or stored is None or first_checksum(content, body_id << 1 | dots) != stored:\n",
                "    if count != 1 or stored is None:\n",
            ),
        ),
        ("flipped_octet",),
    ),
    Mutant(
        "lost-page-is-no-damage",
        "Mail on a page that cannot be read is tried again and again until it bounces.",
        (
            (
                "emailsys/store/engine/sqlite.py",
                "        if primary == sqlite3.SQLITE_CORRUPT:\n            return Verdict.DAMAGED\n",
                "",
            ),
        ),
        ("flipped_octet",),
    ),
    Mutant(
        "missing-store-made-anew",
        "A store that is missing becomes an empty one, which refuses all mail for good (decision 0023).",
        (
            ("emailsys/daemon/service.py", "create=create, adopt=adopt, upgrade", "create=True, adopt=adopt, upgrade"),
            (
                "emailsys/store/directory/cache.py",
                "        answer = await self._answer(key, look_up)\n        if not answer:\n",
                "        answer = await self._answer(key, look_up)\n        if False:\n",
            ),
        ),
        ("faults", "deleted_database"),
    ),
    Mutant(
        "replaced-store-is-used",
        "Another store in the place of the former one refuses all mail for good (decision 0023).",
        (
            (
                "emailsys/store/schema/identity.py",
                "        if kept is not None and kept != read_identity(connection):\n",
                "        if kept is not None and kept == '':\n",
            ),
        ),
        ("faults", "replaced_database"),
    ),
    Mutant(
        "verify-ends-at-damage",
        "`emailsys verify` ends at the first page that it cannot read, and names no message.",
        (
            (
                "emailsys/store/ledger/verify.py",
                "                wrong.append(UNREADABLE.format(number))\n                continue\n",
                "                raise\n",
            ),
        ),
        ("flipped_octet",),
    ),
    Mutant(
        "unsynced-server-is-proof",
        "A look-up after a lost COMMIT is a proof on a PostgreSQL server that syncs nothing (decision 0022).",
        (
            (
                "emailsys/store/engine/postgres.py",
                "SELECT NOT pg_is_in_recovery() AND current_setting('fsync') = 'on'",
                "SELECT true",
            ),
        ),
        ("faults", "lost_commit"),
    ),
    Mutant(
        "workers-stay",
        "After a checkpoint that failed, the workers keep the store open, and mail gets 451 until a restart.",
        (
            (
                "emailsys/daemon/worker_pool.py",
                "        workers = tuple(self._workers)\n",
                "        workers = tuple(self._workers[:0])\n",
            ),
        ),
        ("faults", "checkpoint_beside_workers"),
    ),
)
