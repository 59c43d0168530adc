"""The guesser of passwords, against a small POP3 server."""

from __future__ import annotations

import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.lab.attackers.clients import Guessed, guess_passwords
from emailsys.lab.base.certificates import careful_client, server_context
from emailsys.lab.base.loopback import LoopbackServer
from emailsys.lab.base.stage import Pki
from emailsys.wiretap.conversation import Role


class GuesserTests(SynchronousTestCase):
    """How often it tries, and what it makes of the replies."""

    def guess(self, words: list[str], per_connection: int) -> Guessed:
        """Guess at a server that knows the password "right", and hangs up after so many failures."""
        pki = Pki(Path(self.mktemp()))
        context = server_context(pki.good)

        def serve(connection: socket.socket) -> None:
            with context.wrap_socket(connection, server_side=True) as secure, secure.makefile("rb") as lines:
                secure.sendall(b"+OK ready\r\n")
                failures = 0
                for line in lines:
                    if line.startswith(b"USER"):
                        if failures == per_connection:
                            return
                        secure.sendall(b"+OK\r\n")
                    elif line == b"PASS right\r\n":
                        secure.sendall(b"+OK welcome\r\n")
                    else:
                        failures += 1
                        secure.sendall(b"-ERR no\r\n")

        with LoopbackServer(serve) as server:
            return guess_passwords(server.port, careful_client(pki.authority), "carol", words)

    def test_it_stops_at_the_right_password(self) -> None:
        """No try is wasted."""
        found = self.guess(["a", "right", "b"], 10)
        self.assertEqual((found.password, found.tries, found.last_reply), ("right", 2, "+OK welcome"))
        self.assertEqual(found.views[0].conversation().role, Role.CLIENT)

    def test_it_connects_again_after_the_server_hangs_up(self) -> None:
        """Each connection has its view."""
        found = self.guess(["a", "b", "c", "d", "right"], 2)
        self.assertEqual((found.password, found.tries, len(found.views)), ("right", 5, 3))
        self.assertTrue(all(view.is_closed for view in found.views))

    def test_it_gives_up_at_the_end_of_the_list(self) -> None:
        """The last reply is the evidence."""
        found = self.guess(["a", "b"], 10)
        self.assertEqual((found.password, found.tries, found.last_reply), (None, 2, "-ERR no"))
