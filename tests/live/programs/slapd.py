"""A real slapd of a test's own: private folders, a socket, and LDAP over TLS on a loopback port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tests.live.programs.daemon import PATIENCE
from tests.ports import free_ports

_PATH: Final = os.environ.get("PATH", "") + ":/usr/sbin"
SLAPD: Final = shutil.which("slapd", path=_PATH)
SLAPADD: Final = shutil.which("slapadd", path=_PATH)
BASE: Final = "dc=example,dc=test"
STAFF: Final = f"ou=staff,{BASE}"


def why_not() -> str:
    """Why no slapd can be run here; "" where one can."""
    return "" if SLAPD is not None and SLAPADD is not None else "needs slapd, which is not installed"


class Slapd:
    """A directory with people in it. `socket` is its Unix socket."""

    def __init__(self, folder: Path, chain: Path, key: Path, passwords: Mapping[str, str]) -> None:
        """
        @param folder: is made, and has to be removed by the caller.
        @param passwords: of the people, by what stands before the base in their names, such as "cn=alice".
        """
        assert SLAPADD is not None
        folder.mkdir()
        (folder / "db").mkdir()
        self.socket = folder / "ldapi"
        self._folder = folder
        self._config = folder / "slapd.conf"
        self._config.write_text(
            f"include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n"
            f"include /etc/ldap/schema/inetorgperson.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n"
            f"pidfile {folder}/pid\nTLSCertificateFile {chain}\nTLSCertificateKeyFile {key}\n"
            f'database mdb\nsuffix "{BASE}"\ndirectory {folder}/db\nmaxsize 10485760\n'
        )
        entries = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example\n"]
        entries.append(f"dn: {STAFF}\nobjectClass: organizationalUnit\nou: staff\n")
        for name, password in passwords.items():
            surname = name.partition("=")[2].partition(",")[0]
            person = f"dn: {name},{BASE}\nobjectClass: inetOrgPerson\ncn: {surname}\nsn: {surname}\n"
            person += f"uid: {surname.partition(' ')[0].lower()}\n"
            entries.append(f"{person}userPassword: {password}\n")
        command = [SLAPADD, "-f", str(self._config)]
        subprocess.run(command, input="\n".join(entries).encode(), check=True, capture_output=True, timeout=PATIENCE)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens. `port` is that of LDAP over TLS, `plain_port` that without."""
        for _ in range(3):
            self.port, self.plain_port = free_ports(2)
            if self._started():
                return
        raise AssertionError(f"slapd does not start: {(self._folder / 'log').read_text()}")

    def _started(self) -> bool:
        assert SLAPD is not None
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        urls = f"ldapi://{quote(str(self.socket), safe='')} ldaps://127.0.0.1:{self.port}"
        urls += f" ldap://127.0.0.1:{self.plain_port}"
        with (self._folder / "log").open("ab") as log:
            command = [SLAPD, "-h", urls, "-f", str(self._config), "-d", "0"]
            self._process = process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while process.poll() is None:
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(str(self.socket))
                    return True
                except OSError:
                    pass
            # The port may be another program's now: then it ends.
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        return False

    def stop(self) -> None:
        """End it. A second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(PATIENCE)
