"""The shim between a daemon and its disk: built, told what to do, and asked what it saw."""

from __future__ import annotations

import atexit
import mmap
import os
import shutil
import struct
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Final

_SHIMS: Final = Path(__file__).resolve().parent / "shim"
# Seconds to wait until nothing is half done.
_FREEZE: Final = 2.0
# As in shim/disk.c: the offset and the type of each field.
_FIELDS: Final = {
    "events": (0, "Q"),
    "record": (8, "i"),
    "sync_delay": (12, "i"),
    "sync_errno": (16, "i"),
    "sync_count": (20, "i"),
    "write_errno": (24, "i"),
    "write_count": (28, "i"),
    "read_errno": (32, "i"),
    "read_count": (36, "i"),
    "syncs": (40, "Q"),
    "failed": (48, "Q"),
    "write_half": (56, "i"),
    "gate": (60, "i"),
    "suffix": (64, "64s"),
    "calls": (128, "Q"),
    "fail_at": (136, "Q"),
    "fail_for": (144, "i"),
    "fail_errno": (148, "i"),
    "failed_call": (152, "64s"),
}
_OCTETS: Final = 216


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="emailsys-shims-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, True)
    return folder


@cache
def build(name: str) -> Path:
    """Compile a shim of `shim/` into a folder that lasts as long as this process."""
    library = _folder() / f"{name}.so"
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(_SHIMS / f"{name}.c"), "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    return library


class Disk:
    """The harness's end of the shim.

    @param folder: where its control file and its log are made.
    @param prefix: the folder whose files it watches.
    """

    def __init__(self, folder: Path, prefix: Path) -> None:
        self.library = build("disk")
        self.log = folder / "disk.log"
        self._path = folder / "disk.control"
        self._path.write_bytes(bytes(_OCTETS))
        self._prefix = prefix
        self._file = self._path.open("r+b")
        self._memory = mmap.mmap(self._file.fileno(), _OCTETS)

    @property
    def environment(self) -> dict[str, str]:
        """The environment that loads the shim into a daemon."""
        return {
            "LD_PRELOAD": str(self.library),
            "DISK_PREFIX": os.path.realpath(self._prefix),
            "DISK_LOG": str(self.log),
            "DISK_CONTROL": str(self._path),
        }

    def get(self, name: str) -> int:
        """A field of the control file."""
        offset, kind = _FIELDS[name]
        return int(struct.unpack_from("<" + kind, self._memory, offset)[0])

    def text(self, name: str) -> str:
        """A field of text of the control file."""
        offset, kind = _FIELDS[name]
        octets: bytes = struct.unpack_from("<" + kind, self._memory, offset)[0]
        return octets.rstrip(b"\0").decode(errors="replace")

    def set(self, **fields: int | str) -> None:
        """Change fields of the control file."""
        for name, value in fields.items():
            offset, kind = _FIELDS[name]
            struct.pack_into("<" + kind, self._memory, offset, value.encode() if isinstance(value, str) else value)

    def heal(self) -> None:
        """End all failures and delays."""
        self.set(sync_errno=0, write_errno=0, read_errno=0, sync_delay=0, write_half=0, fail_for=0)

    def freeze(self) -> None:
        """Let the calls that have begun end, and no other begin: a kill then leaves no call half done."""
        self.set(gate=1)
        deadline = time.monotonic() + _FREEZE
        while self.get("gate") == 1 and time.monotonic() < deadline:
            time.sleep(0.001)

    def thaw(self) -> None:
        """Let calls begin again."""
        self.set(gate=0)

    def position(self) -> int:
        """The number of events so far."""
        return self.get("events")
