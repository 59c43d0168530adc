"""What the process owns before it serves: folder, lock, sockets, limits, user."""

from __future__ import annotations

import errno
import os
import pwd
import resource
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.exit_status import Exit
from emailsys.config.settings import Listen, Settings
from emailsys.platforms.users import is_root, raise_descriptor_limit
from emailsys.supervisor import (
    FolderLock,
    StartupError,
    bind_all,
    check_state_folder,
    close_all,
    drop_privileges,
    expand,
    find_identity,
    has_ipv6,
    holder_of,
    make_state_folder,
    with_ports,
)
from emailsys.supervisor import folder as folder_module
from tests.ports import free_ports


class Case(SynchronousTestCase):
    """Startup errors, each one line with a status."""

    def refused(self, status: Exit, call: object, *arguments: object) -> str:
        assert callable(call)
        with self.assertRaises(StartupError) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.status, status)
        text = str(caught.exception)
        self.assertNotIn("\n", text)
        return text


class StateFolderTests(Case):
    """The folder that holds the mail."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())

    def test_the_folder_is_made_for_its_owner_alone(self) -> None:
        """Mode 0700, whatever the umask; made with the folders above."""
        folder = self.folder / "a" / "b"
        make_state_folder(folder)
        make_state_folder(folder)
        self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)

    def test_a_folder_that_others_may_write_to_is_refused(self) -> None:
        """Who can write there can read and forge everybody's mail."""
        self.folder.mkdir()
        self.folder.chmod(0o770)
        text = self.refused(Exit.CONFIG, make_state_folder, self.folder)
        self.assertIn("found mode 0770", text)
        self.assertIn(f"chmod 700 {self.folder}", text)
        # A volume of a container belongs to somebody else, who cannot be asked.
        self.patch(folder_module, "effective_user", lambda: 12345)
        text = self.refused(Exit.CONFIG, make_state_folder, self.folder)
        self.assertIn(f"use a folder of your own in it: --state {self.folder}/emailsys", text)

    @unittest.skipUnless(is_root(), "only root can become somebody else")
    def test_a_volume_of_somebody_else_holds_a_folder_of_our_own(self) -> None:
        """In a process of its own, which has no name and may write by the mode of the volume or by its group."""
        code = (
            "import os, sys; from pathlib import Path\n"
            "from emailsys.supervisor import FolderLock, StartupError, make_state_folder\n"
            "volumes = Path(sys.argv[1])\n"
            "for name, mode, group in (('open', 0o777, 0), ('shared', 0o2775, 54321)):\n"
            "    (volumes / name).mkdir(); os.chown(volumes / name, 0, group); (volumes / name).chmod(mode)\n"
            "os.setgroups([]); os.setresgid(54321, 54321, 54321); os.setresuid(54321, 54321, 54321)\n"
            "for volume in (volumes / 'open', volumes / 'shared'):\n"
            "    try: make_state_folder(volume)\n"
            "    except StartupError as error: print(error)\n"
            "    make_state_folder(volume / 'emailsys'); FolderLock.take(volume / 'emailsys').release()\n"
        )
        volumes = Path(tempfile.mkdtemp(prefix="emailsys-volumes-"))
        self.addCleanup(shutil.rmtree, volumes)
        volumes.chmod(0o755)
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        command = [sys.executable, "-c", code, str(volumes)]
        ended = subprocess.run(command, env=environ, check=False, capture_output=True, text=True, cwd="/")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        told = ended.stdout.splitlines()
        self.assertEqual(len(told), 2)
        for name, line in zip(("open", "shared"), told, strict=True):
            self.assertTrue(line.endswith(f"use a folder of your own in it: --state {volumes / name}/emailsys"), line)
            status = (volumes / name / "emailsys").stat()
            self.assertEqual((status.st_uid, status.st_mode & 0o777), (54321, 0o700))

    def test_a_file_in_the_place_of_the_folder_is_told(self) -> None:
        """Nothing is overwritten."""
        self.folder.write_text("mine")
        self.refused(Exit.CANNOT_CREATE, make_state_folder, self.folder)
        self.assertIn("found a file", self.refused(Exit.CANNOT_CREATE, check_state_folder, self.folder))
        self.refused(Exit.CANNOT_CREATE, make_state_folder, self.folder / "below")

    def test_a_file_system_that_is_mounted_read_only_is_told_as_such(self) -> None:
        """As a disk becomes after an error: that the folder's owner may not write there would lead astray."""
        if sys.platform == "win32":
            raise SkipTest("needs Unix")
        self.folder.mkdir(mode=0o700)

        class ReadOnly:
            f_flag = os.ST_RDONLY

        self.patch(os, "statvfs", lambda path: ReadOnly)
        text = self.refused(Exit.CANNOT_CREATE, check_state_folder, self.folder)
        self.assertEqual(
            text,
            f"state folder {self.folder}: found a file system that is mounted read-only; allowed: a writable one",
        )

    def test_a_folder_that_is_not_there_yet_passes_the_check_and_is_not_made(self) -> None:
        """`config check` changes nothing."""
        check_state_folder(self.folder)
        self.assertFalse(self.folder.exists())


class FolderLockTests(Case):
    """One daemon on one folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def test_a_second_daemon_is_told_which_process_holds_the_folder(self) -> None:
        """The operator can look at that process."""
        lock = FolderLock.take(self.folder)
        self.addCleanup(lock.release)
        text = self.refused(Exit.UNAVAILABLE, FolderLock.take, self.folder)
        runs = f"emailsys already runs there, as process {os.getpid()}"
        self.assertEqual(text, f"state folder {self.folder}: {runs}; stop it first, or use another state folder")
        self.assertEqual(holder_of(self.folder), os.getpid())

    def test_a_folder_that_was_given_up_can_be_taken_again(self) -> None:
        """A restart needs no cleaning up."""
        self.assertIsNone(holder_of(self.folder))
        lock = FolderLock.take(self.folder)
        lock.release()
        lock.release()
        self.assertIsNone(holder_of(self.folder))
        FolderLock.take(self.folder).release()

    def test_a_pipe_or_a_link_in_place_of_the_lock_is_told(self) -> None:
        """The user of the daemon may have put it there, and root starts the daemon."""
        if sys.platform == "win32":
            raise SkipTest("Windows has no such files")
        path = self.folder / "daemon.lock"
        os.mkfifo(path)
        self.assertIn("is not a regular file", self.refused(Exit.CANNOT_CREATE, FolderLock.take, self.folder))
        self.assertIsNone(holder_of(self.folder))
        path.unlink()
        path.symlink_to("elsewhere")
        self.assertIn(str(path), self.refused(Exit.CANNOT_CREATE, FolderLock.take, self.folder))
        self.assertFalse((self.folder / "elsewhere").exists())

    def test_the_lock_of_a_process_that_died_is_gone(self) -> None:
        """kill -9 leaves a file behind, and no lock."""
        code = (
            "import os, sys; from pathlib import Path; from emailsys.supervisor import FolderLock\n"
            "FolderLock.take(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
        )
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        ended = subprocess.run([sys.executable, "-c", code, str(self.folder)], env=environ, check=False)
        self.assertEqual(ended.returncode, -9)
        self.assertTrue((self.folder / "daemon.lock").read_text().strip().isdigit())
        self.assertIsNone(holder_of(self.folder))
        FolderLock.take(self.folder).release()

    def test_a_holder_that_left_no_number_is_another_process(self) -> None:
        """Between the lock and the note there is a moment."""
        lock = FolderLock.take(self.folder)
        self.addCleanup(lock.release)
        (self.folder / "daemon.lock").write_text("")
        self.assertIn("as another process", self.refused(Exit.UNAVAILABLE, FolderLock.take, self.folder))
        self.assertEqual(holder_of(self.folder), 0)

    def test_a_link_in_the_place_of_the_lock_is_not_followed(self) -> None:
        """Root must not be led to another file."""
        (self.folder / "daemon.lock").symlink_to(self.folder / "elsewhere")
        self.refused(Exit.CANNOT_CREATE, FolderLock.take, self.folder)
        self.assertFalse((self.folder / "elsewhere").exists())


class SocketTests(Case):
    """Addresses to listen on."""

    def settings(self, **listens: Listen) -> Settings:
        return Settings(hostname="localhost", state=Path("/nowhere"), **listens)  # type: ignore[arg-type]

    def test_every_address_of_every_service_is_bound(self) -> None:
        """Two services, three addresses."""
        one, two = free_ports(2)
        bound = bind_all(
            self.settings(
                smtp_listen=Listen((("127.0.0.1", one), ("127.0.0.2", one))), pop3s_listen=Listen((("127.0.0.1", two),))
            )
        )
        self.addCleanup(close_all, bound)
        self.assertEqual(
            [(item.service, item.shown) for item in bound],
            [("smtp", f"127.0.0.1:{one}"), ("smtp", f"127.0.0.2:{one}"), ("pop3s", f"127.0.0.1:{two}")],
        )
        for item in bound:
            socket.create_connection(item.socket.getsockname()).close()

    @unittest.skipUnless(has_ipv6(), "this machine has no IPv6")
    def test_both_families_of_every_address_can_be_bound_to_one_port(self) -> None:
        """0.0.0.0 and :: do not stand in each other's way."""
        bound = bind_all(self.settings(smtp_listen=Listen((("*", free_ports(1)[0]),))))
        self.addCleanup(close_all, bound)
        self.assertEqual([item.socket.family for item in bound], [socket.AF_INET, socket.AF_INET6])

    def test_an_address_that_is_taken_is_named_with_its_service_and_nothing_stays_bound(self) -> None:
        """A second try after the other program has gone finds all ports free."""
        free, port = free_ports(2)
        with socket.create_server(("127.0.0.1", port)):
            settings = self.settings(
                smtp_listen=Listen((("127.0.0.1", free),)), pop3_listen=Listen((("127.0.0.1", port),))
            )
            text = self.refused(Exit.UNAVAILABLE, bind_all, settings)
        program = rf"\S+ \(process {os.getpid()}\)" if sys.platform == "linux" else "another program"
        said = rf"listen.pop3: 127.0.0.1:{port} is already in use by {program}; stop it, or change listen.pop3"
        self.assertRegex(text, rf"\A{said}\Z")
        close_all(bind_all(settings))

    def test_a_low_port_without_root_names_all_ways_to_get_it(self) -> None:
        """Root and the user setting, the capability, or another port."""

        class Refusing(socket.socket):
            def bind(self, address: object) -> None:
                raise PermissionError(errno.EACCES, "Permission denied")

        self.patch(socket, "socket", Refusing)
        settings = self.settings(smtp_listen=Listen((("127.0.0.1", 25),)))
        text = self.refused(Exit.NO_PERMISSION, bind_all, settings)
        for words in ("listen.smtp: 127.0.0.1:25", "CAP_NET_BIND_SERVICE", "set user in the configuration"):
            self.assertIn(words, text)

    def test_port_0_takes_a_free_port_the_same_for_both_families(self) -> None:
        """The settings then have the port, so that mail to ourselves is recognised."""
        settings = self.settings(smtp_listen=Listen((("localhost", 0), ("127.0.0.2", 0))), pop3_listen=Listen())
        bound = bind_all(settings)
        self.addCleanup(close_all, bound)
        ports = [item.socket.getsockname()[1] for item in bound]
        self.assertNotIn(0, ports)
        self.assertEqual(len(set(ports[:-1])), 1)
        self.assertEqual(
            with_ports(settings, bound).smtp_listen.addresses,
            tuple(item.socket.getsockname()[:2] for item in bound),
        )

    def test_an_address_of_another_machine_is_told(self) -> None:
        """192.0.2.0/24 is for documentation (RFC 5737) and nobody's."""
        text = self.refused(Exit.UNAVAILABLE, bind_all, self.settings(smtp_listen=Listen((("192.0.2.1", 2525),))))
        self.assertIn("this machine has no such address", text)

    def test_loopback_and_every_address_stand_for_the_families_that_are_there(self) -> None:
        """A machine without IPv6 still starts."""
        self.assertEqual(expand([("localhost", 25)], True), [("127.0.0.1", 25), ("::1", 25)])
        self.assertEqual(expand([("*", 25), ("::1", 26)], False), [("0.0.0.0", 25), ("::1", 26)])


class IdentityTests(Case):
    """Whom the daemon runs as."""

    def test_without_a_user_nothing_changes(self) -> None:
        """The process stays who it is."""
        self.assertIsNone(find_identity(None, None))
        drop_privileges(None, Path("/nowhere"))

    def test_the_user_is_found_with_its_group_and_all_groups(self) -> None:
        """The primary group is the default."""
        if sys.platform == "win32":
            raise SkipTest("needs Unix")
        entry = pwd.getpwuid(os.geteuid())
        found = find_identity(entry.pw_name, None)
        assert found is not None
        self.assertEqual((found.uid, found.gid, found.name), (entry.pw_uid, entry.pw_gid, entry.pw_name))
        self.assertIn(entry.pw_gid, found.groups)
        drop_privileges(found, Path("/nowhere"))

    def test_a_user_or_group_that_does_not_exist_is_told(self) -> None:
        """Found at start and by `config check`."""
        if sys.platform == "win32":
            raise SkipTest("needs Unix")
        name = pwd.getpwuid(os.geteuid()).pw_name
        self.assertEqual(
            self.refused(Exit.NO_USER, find_identity, "no-such-user", None),
            'user: found "no-such-user"; allowed: a user of this machine',
        )
        self.assertIn("no-such-group", self.refused(Exit.NO_USER, find_identity, name, "no-such-group"))
        self.assertIn("without a user", self.refused(Exit.CONFIG, find_identity, None, "mail"))

    @unittest.skipUnless(is_root(), "only root can become somebody else")
    def test_root_gives_the_folder_and_becomes_the_user_for_good(self) -> None:
        """In a process of its own: there is no way back."""
        code = (
            "import os, sys, tempfile; from pathlib import Path\n"
            "from emailsys.supervisor import *\n"
            "who = find_identity('nobody', None)\n"
            "folder = Path(tempfile.mkdtemp()); (folder / 'mail').write_text('x')\n"
            "(folder / 'link').symlink_to('/etc/passwd'); (folder / 'below').mkdir(); (folder / 'below/key').touch()\n"
            "(folder / 'away').symlink_to('/etc'); other = folder.with_name(folder.name + '.other'); other.touch()\n"
            "(folder / 'hard').hardlink_to(other); os.mkfifo(folder / 'fifo')\n"
            "give_state_folder(who, folder)\n"
            "drop_privileges(who, folder)\n"
            "assert os.getresuid() == (who.uid,) * 3 and os.getresgid() == (who.gid,) * 3\n"
            "assert 0 not in os.getgroups(), os.getgroups()\n"
            "assert folder.stat().st_uid == who.uid and (folder / 'mail').stat().st_uid == who.uid\n"
            "assert (folder / 'below').stat().st_uid == (folder / 'below/key').stat().st_uid == who.uid\n"
            # Nobody reads or writes these as root, and only a file can be given without following a name.
            "assert (folder / 'fifo').stat().st_uid == (folder / 'away').lstat().st_uid == 0\n"
            "assert os.stat('/etc/passwd').st_uid == os.stat('/etc').st_uid == 0\n"
            # A second name of a file elsewhere: the user may have made it, to be given what is not his.
            "assert other.stat().st_uid == 0\n"
            "try: drop_privileges(find_identity('daemon', None), folder)\n"
            "except StartupError as error: print(error.status)\n"
            "import shutil; shutil.rmtree(folder); print(other)\n"
        )
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        ended = subprocess.run(
            [sys.executable, "-c", code], env=environ, check=False, capture_output=True, text=True, cwd="/"
        )
        self.assertEqual(ended.returncode, 0, ended.stderr)
        status, other = ended.stdout.split()
        os.unlink(other)
        self.assertEqual(status, str(int(Exit.NO_PERMISSION)))


class LimitTests(SynchronousTestCase):
    """Open files."""

    def test_the_limit_of_open_files_is_raised_as_far_as_allowed_and_never_lowered(self) -> None:
        """A session needs a descriptor."""
        if sys.platform == "win32":
            raise SkipTest("needs Unix")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
        self.assertEqual(raise_descriptor_limit(min(600, hard)), min(600, hard))
        self.assertEqual(raise_descriptor_limit(100), min(600, hard))
