"""Control socket in the state folder, and requests to the daemon: a line of JSON for each request and each answer."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from emailsys.control.answers import Answer
from emailsys.control.requests import Request

SOCKET_NAME: Final = "control.sock"
# Octets. A list of 100,000 users is about 10 MiB.
MAX_REQUEST_OCTETS: Final = 64 * 1024
MAX_ANSWER_OCTETS: Final = 256 * 1024 * 1024
# Seconds that a command waits for an answer; `user remove --purge` of a large maildrop takes the longest.
ANSWER_TIMEOUT: Final = 120.0
# sun_path of sockaddr_un holds 108 octets on Linux, 104 on BSD and macOS, including the final NUL.
_MAX_PATH_OCTETS: Final = 103
# None where Python has no Unix sockets, as on Windows.
_UNIX: Final[int | None] = getattr(socket, "AF_UNIX", None)
#: Whether commands can reach a running daemon on this system.
HAS_CONTROL: Final = _UNIX is not None
#: The message to an operator on a system without Unix sockets.
NO_CONTROL: Final = "this system has no Unix sockets, so commands cannot reach the daemon while it runs"


@contextmanager
def _short_path(path: Path) -> Iterator[str]:
    """Yield a path that fits into sockaddr_un. If the path is too long, it leads through a temporary symbolic link."""
    if len(os.fsencode(path)) <= _MAX_PATH_OCTETS:
        yield str(path)
        return
    import tempfile

    folder = tempfile.mkdtemp(prefix="emailsys-")
    link = os.path.join(folder, "s")
    try:
        os.symlink(path.parent, link)
        yield os.path.join(link, path.name)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(link)
        os.rmdir(folder)


def bind_control(folder: Path) -> socket.socket:
    """Return the listening socket, mode 0600. The caller holds the lock of the state folder; an old socket is removed.

    @raise OSError: the socket cannot be created.
    """
    if _UNIX is None:
        raise OSError(errno.EAFNOSUPPORT, NO_CONTROL)
    path = folder / SOCKET_NAME
    with suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        # The umask sets the mode: with a chmod, the socket would be open to others for a moment.
        before = os.umask(0o177)
        try:
            with _short_path(path) as name:
                listener.bind(name)
        finally:
            os.umask(before)
        listener.listen(16)
    except OSError:
        listener.close()
        raise
    return listener


class NoDaemon(Exception):
    """No process listens on the control socket."""


class ControlFailed(Exception):
    """The daemon runs, but the request failed on the socket. The message says how."""


@contextmanager
def connected(folder: Path, timeout: float | None) -> Iterator[socket.socket]:
    """Yield a connection to the daemon of a state folder.

    @param timeout: seconds that each step may take; None for no limit.
    @raise NoDaemon: no daemon runs there.
    @raise ControlFailed: this user has no permission, or the connection failed.
    """
    path = folder / SOCKET_NAME
    if _UNIX is None:
        raise NoDaemon(NO_CONTROL)
    with socket.socket(_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            with _short_path(path) as name:
                connection.connect(name)
        except (FileNotFoundError, ConnectionRefusedError):
            raise NoDaemon(f"no daemon listens on {path}") from None
        except PermissionError:
            raise ControlFailed(
                f"{path}: permission denied; only root and the daemon's own user may talk to it. Try sudo"
            ) from None
        except OSError as error:
            raise ControlFailed(f"{path}: {error.strerror or error}") from None
        try:
            yield connection
        except TimeoutError:
            raise ControlFailed(f"{path}: the daemon did not answer within {timeout:g} seconds") from None
        except OSError as error:
            raise ControlFailed(f"{path}: {error.strerror or error}") from None


def ask(folder: Path, request: Request, timeout: float = ANSWER_TIMEOUT) -> Answer:
    """Send a request to the daemon of a state folder and return the answer of `Commands.answer`. Blocks.

    @param timeout: seconds to wait for the answer.
    @raise NoDaemon: no daemon runs there.
    @raise ControlFailed: this user has no permission, or the daemon does not answer.
    """
    path = folder / SOCKET_NAME
    with connected(folder, timeout) as connection:
        connection.sendall(json.dumps(request.as_json()).encode() + b"\n")
        with connection.makefile("rb") as answers:
            line = answers.readline(MAX_ANSWER_OCTETS)
    try:
        answer: Any = json.loads(line)
    except ValueError:
        raise ControlFailed(f"{path}: the daemon closed the connection without an answer") from None
    if not isinstance(answer, dict):
        raise ControlFailed(f"{path}: the daemon answered {answer!r}, which is not a JSON object")
    return answer
