"""Follow a message through a daemon and print, as JSON, which modules act at each step and on which threads.

The standard input names, as JSON, the modules that are expected: "side: step" and a list of modules for each.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Collection
from pathlib import Path
from types import FrameType
from typing import Any, Final

from twisted.internet.defer import Deferred

import emailsys
from emailsys.control.control_socket import ask
from emailsys.control.requests import DomainAdd, UserAdd, UserPassword
from emailsys.daemon.startup import prepare
from emailsys.mail.address import Address
from emailsys.passwords import make_credentials

_HOUSE: Final = str(Path(emailsys.__file__).resolve().parent) + os.sep
# What acts beside the message, such as a periodic task, does so in one round and not in each.
_ROUNDS: Final = 4
# Seconds after a reply until what it caused is over, and how long an expected module may be late: the machine may be
# busy. One that never came would be waited for at each step where it is expected, once.
_QUIET: Final = 0.15
_LATE: Final = 10.0
_LOOK: Final = 0.01
_PASSWORD: Final = "correct horse battery"
_MESSAGE: Final = b"From: alice@example.test\r\nSubject: hello\r\n\r\nhow are you?\r\n.\r\n"

_MAIN: Final = threading.main_thread()

Step = tuple[str, str]
Expected = dict[Step, Collection[str]]


class Recorder:
    """Which modules were called at each step, and whether on the reactor's thread.

    @param expected: modules that each step waits for. Those that do not come are removed.
    """

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self.step: Step | None = None
        self.seen: dict[Step, set[tuple[str, bool]]] = {}
        self._modules: dict[str, str] = {}

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """Note a call; this is a profile function of the interpreter."""
        if event != "call" or self.step is None:
            return
        name = frame.f_code.co_filename
        module = self._modules.get(name)
        if module is None:
            inside = name.startswith(_HOUSE)
            module = name.removeprefix(_HOUSE).removesuffix(".py").replace(os.sep, ".") if inside else ""
            self._modules[name] = module
        if module:
            self.seen[self.step].add((module.removesuffix(".__init__"), threading.current_thread() is _MAIN))

    def begin(self, *step: str) -> None:
        """What is called from now on belongs to this step."""
        self._settle()
        name = (step[0], step[1])
        self.seen.setdefault(name, set())
        self.step = name

    def end(self) -> None:
        """Wait until the last step is over."""
        self._settle()
        self.step = None

    def _settle(self) -> None:
        """Wait until the step is over."""
        time.sleep(_QUIET)
        if self.step is None:
            return
        until = time.monotonic() + _LATE
        while self._is_missing(self.step):
            if time.monotonic() > until:
                del self._expected[self.step]
            time.sleep(_LOOK)

    def _is_missing(self, step: Step) -> bool:
        seen = self.seen[step]
        expected = self._expected.get(step, ())
        return any((module, True) not in seen and (module, False) not in seen for module in expected)


class Peer:
    """The other end of a connection of the daemon."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        self._socket = connection
        self._input = connection.makefile("rb")

    def say(self, octets: bytes) -> None:
        """Send a line."""
        self._socket.sendall(octets + b"\r\n")

    def hear(self) -> bytes:
        """The last line of a reply, or a command."""
        while (line := self._input.readline())[3:4] == b"-":
            pass
        return line

    def hear_to_dot(self) -> None:
        """A response or a message of many lines."""
        while self._input.readline() not in (b".\r\n", b""):
            pass

    def close(self) -> None:
        """End the connection."""
        self._input.close()
        self._socket.close()


def send(recorder: Recorder, port: int, listener: socket.socket) -> None:
    """Alice submits a message to bob, who is here, and to carol, who is at the next hop."""
    recorder.begin("client", "connects")
    peer = Peer(socket.create_connection(("127.0.0.1", port)))
    peer.hear()
    token = b64encode(f"\0alice@example.test\0{_PASSWORD}".encode())
    for shown, line in (
        ("EHLO", b"EHLO client.test"),
        ("AUTH", b"AUTH PLAIN " + token),
        ("MAIL", b"MAIL FROM:<alice@example.test>"),
        ("RCPT, here", b"RCPT TO:<bob@example.test>"),
        ("RCPT, elsewhere", b"RCPT TO:<carol@elsewhere.test>"),
        ("DATA", b"DATA"),
    ):
        recorder.begin("client", shown)
        peer.say(line)
        peer.hear()
    recorder.begin("client", "message, dot")
    peer.say(_MESSAGE + b".")
    peer.hear()
    recorder.begin("next hop", "greeting")
    host = Peer(listener.accept()[0])
    host.say(b"220 next.test ESMTP")
    host.hear()
    for shown, reply in (("250 to EHLO", b"250 next.test"), ("250 to MAIL", b"250 ok"), ("250 to RCPT", b"250 ok")):
        recorder.begin("next hop", shown)
        host.say(reply)
        host.hear()
    recorder.begin("next hop", "354 to DATA")
    host.say(b"354 go")
    host.hear_to_dot()
    recorder.begin("next hop", "250 to the message")
    host.say(b"250 ok")
    recorder.end()
    peer.close()
    host.close()


def fetch(recorder: Recorder, port: int) -> None:
    """Bob fetches the message and deletes it."""
    recorder.begin("reader", "connects")
    peer = Peer(socket.create_connection(("127.0.0.1", port)))
    peer.hear()
    for shown, line in (("USER", b"USER bob@example.test"), ("PASS", b"PASS " + _PASSWORD.encode())):
        recorder.begin("reader", shown)
        peer.say(line)
        peer.hear()
    recorder.begin("reader", "RETR")
    peer.say(b"RETR 1")
    peer.hear_to_dot()
    for line in (b"DELE 1", b"QUIT"):
        recorder.begin("reader", line.decode().partition(" ")[0])
        peer.say(line)
        peer.hear()
    recorder.end()
    peer.close()


def follow(state: Path, ports: dict[str, int], listener: socket.socket, expected: Expected) -> list[Recorder]:
    """Some rounds with a daemon that runs."""
    ask(state, DomainAdd("example.test", Address("alice", "example.test")))
    rounds: list[Recorder] = []
    for number in range(_ROUNDS):
        for name in ("alice", "bob"):
            # A new hash each time: else a cache would answer for the hashing threads.
            kind = UserPassword if number else UserAdd
            ask(state, kind(Address(name, "example.test"), make_credentials(_PASSWORD)))
        # The first round is not compared.
        recorder = Recorder(expected if number else {})
        _install(recorder)
        send(recorder, ports["submission"], listener)
        fetch(recorder, ports["pop3"])
        rounds.append(recorder)
    return rounds


def _install(recorder: Recorder | None) -> None:
    _Profile.recorder = recorder


class _Profile:
    """The profile function of all threads; who listens to it changes from round to round."""

    recorder: Recorder | None = None
    stopped: Deferred[Any] | None = None

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if self.recorder is not None:
            self.recorder(frame, event, argument)


def common(rounds: list[Recorder]) -> list[dict[str, Any]]:
    """What acted at each step in every round but the first, which fills caches."""
    steps = []
    for step in rounds[0].seen:
        acting = set.intersection(*(recorder.seen[step] for recorder in rounds[1:]))
        steps.append({"side": step[0], "step": step[1], "acting": sorted(acting)})
    return steps


def main() -> None:
    """Run a daemon in this process, and print what each step called."""
    from twisted.internet import reactor as running

    reactor: Any = running
    named: dict[str, list[str]] = json.load(sys.stdin)
    expected: Expected = {}
    for step, modules in named.items():
        side, _, said = step.partition(": ")
        expected[side, said] = modules
    profile = _Profile()
    threading.setprofile(profile)
    sys.setprofile(profile)
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        state = Path(name) / "state"
        config = Path(name) / "emailsys.toml"
        ports = _free_ports("submission", "pop3")
        listens = "".join(f'{service} = ["127.0.0.1:{port}"]\n' for service, port in ports.items())
        config.write_text(
            f'hostname = "mail.example.test"\n[listen]\nsmtp = []\nsubmissions = []\npop3s = []\n{listens}'
            "[smtp]\nplaintext_auth_on_loopback = true\n[pop3]\nplaintext_auth_on_loopback = true\n"
            f'[[routing.routes]]\nhost = "localhost"\nport = {listener.getsockname()[1]}\ntls = "none"\n'
            '[outbound]\naddress_order = "ipv4-only"\n'
        )
        daemon = prepare(str(state), str(config))
        daemon.privilegedStartService()
        daemon.startService()
        steps: list[dict[str, Any]] = []

        def work() -> None:
            sys.setprofile(None)
            try:
                steps.extend(common(follow(state, ports, listener, expected)))
            finally:
                _install(None)
                reactor.callFromThread(stop)

        def stop() -> None:
            stopping: Deferred[Any] = daemon.stopService()
            _Profile.stopped = stopping.addBoth(lambda _: reactor.stop())

        reactor.callWhenRunning(threading.Thread(target=work, name="client", daemon=True).start)
        reactor.run()
    json.dump(steps, sys.stdout, indent=1)
    sys.exit(not steps)


def _free_ports(*services: str) -> dict[str, int]:
    held = {service: socket.create_server(("127.0.0.1", 0)) for service in services}
    ports = {service: one.getsockname()[1] for service, one in held.items()}
    for one in held.values():
        one.close()
    return ports


if __name__ == "__main__":
    main()
