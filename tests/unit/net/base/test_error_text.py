"""Connection failures have the same descriptions for blocking sockets and for Twisted."""

from __future__ import annotations

import errno

from OpenSSL import SSL
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost, ConnectionRefusedError, TimeoutError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.base.error_text import in_words
from emailsys.net.base.failures import why


class ErrorTextTests(SynchronousTestCase):
    """What an operator and a sender read."""

    def test_an_error_of_tls_or_of_a_socket_has_one_text_wherever_it_was_met(self) -> None:
        for error, text in (
            (SSL.Error([("SSL routines", "", "certificate verify failed")]), "certificate verify failed"),
            (SSL.Error([]), "TLS failed"),
            (
                SSL.Error([("SSL routines", "", "wrong version number")]),
                "the other side does not speak TLS (wrong version number)",
            ),
            (SSL.SysCallError(-1, "Unexpected EOF"), "the host closed it"),
            (OSError(errno.ECONNRESET, "Connection reset by peer"), "Connection reset by peer"),
            (ValueError("no certificate."), "no certificate"),
            (ValueError(), "ValueError"),
        ):
            self.assertEqual(in_words(error), text)
            self.assertEqual(why(Failure(error)), text)

    def test_what_twisted_says_is_told_without_numbers(self) -> None:
        for error, text in (
            (ConnectionDone(), "the host closed it"),
            (TimeoutError(), "no answer"),
            (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "Connection refused"),
            (ConnectError(string=Failure(ConnectionDone())), "the host takes no connection now"),
            (ConnectionLost(), "Connection to the other side was lost in a non-clean fashion"),
        ):
            self.assertEqual(why(Failure(error)), text)
