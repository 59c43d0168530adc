"""Every attribute that ESMTPServer inherits from twisted.mail is overridden or justified."""

from __future__ import annotations

from typing import Final

from twisted.mail import smtp
from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.serving.connection import Connection
from emailsys.net.smtp.server import ESMTPServer
from emailsys.net.smtp.session import SMTPSession
from emailsys.net.smtp.transaction import Reception
from tests.fakes.net.smtp_house import SMTPHouse

# Attributes taken from Twisted, and the reason why this is safe.
JUSTIFIED: Final = {
    # Set by makeConnection and the factory.
    "transport": "the connection",
    "connected": "set by makeConnection",
    "factory": "set by buildProtocol",
    "portal": "set by buildProtocol",
    "makeConnection": "calls our connectionMade",
    "logPrefix": "a name for Twisted's own log",
    "noisy": "read by nothing but stock do_DATA",
    # Time.
    "timeOut": "TimeoutMixin's, never set: time limits are those of the connection",
    "timeout": "read by nothing but stock connectionMade",
    "setTimeout": "TimeoutMixin's, whose callLater is disabled",
    "resetTimeout": "TimeoutMixin's, whose callLater is disabled",
    "_TimeoutMixin__timedOut": "never scheduled: callLater is disabled",
    "_TimeoutMixin__timeoutCall": "TimeoutMixin's",
    # Attributes of the frame that is kept.
    "host": "a property that makes octets of the host name",
    "delivery": "only stock methods read it; the avatar is the session's",
    "authenticated": "only stock methods read it",
    # Data that only stock methods read, all of which are overridden.
    "MAX_LENGTH": "stock dataReceived",
    "_buffer": "stock dataReceived",
    "delimiter": "stock dataReceived and sendLine",
    "deliveryFactory": "stock validateFrom",
    "_onLogout": "stock connectionLost",
    "canStartTLS": "stock extensions",
    "startedTLS": "stock extensions",
    "ctx": "stock ext_STARTTLS",
    "mail_re": "stock do_MAIL",
    "rcpt_re": "stock do_RCPT",
    "qstring": "stock mail_re and rcpt_re",
}

STOCK_WAYS: Final = (
    "lineReceived",
    "lineLengthExceeded",
    "dataLineReceived",
    "sendLine",
    "sendCode",
    "sendSyntaxError",
    "greeting",
    "do_UNKNOWN",
    "state_COMMAND",
    "state_DATA",
    "state_AUTH",
    "callLater",
    "timeoutConnection",
    "_messageHandled",
    "_disconnect",
    "_cbFromValidate",
    "_ebFromValidate",
    "_cbToValidate",
    "_ebToValidate",
    "_cbAnonymousAuthentication",
    "_cbAuthenticated",
    "_ebAuthenticated",
)


class Stock(SynchronousTestCase):
    def test_each_stock_attribute_is_overridden_or_justified(self) -> None:
        """An upgrade of Twisted that adds a method which bypasses the connection must be noticed."""
        left = set()
        for name in dir(smtp.ESMTP):
            owner = next(owner for owner in ESMTPServer.__mro__ if name in vars(owner))
            if not name.startswith("__") and owner.__module__.startswith("twisted."):
                left.add(name)
        self.assertEqual(left - set(JUSTIFIED), set())
        self.assertEqual(set(JUSTIFIED) - left, set(), "no longer taken from upstream")

    def test_stock_ways_of_input_and_delivery_lead_nowhere(self) -> None:
        server = SMTPHouse().server()
        for name in STOCK_WAYS:
            self.assertRaises(RuntimeError, getattr(server, name), b"x")

    def test_the_frame_is_that_of_twisted_mail(self) -> None:
        house = SMTPHouse()
        self.assertIsInstance(house.factory, smtp.SMTPFactory)
        self.assertIsInstance(house.server(), smtp.ESMTP)
        self.assertIs(house.server().portal, house.service.environment.portal)
        self.assertEqual(house.server().host, b"mx.example.test")

    def test_the_protocol_is_a_shell_over_its_parts(self) -> None:
        """The connection and the session are objects of their own, not base classes of the protocol."""
        server = SMTPHouse().server()
        self.assertFalse(isinstance(server, Connection | SMTPSession | Reception))
        self.assertIsInstance(server.connection, Connection)
        self.assertIsInstance(server.session, SMTPSession)
        self.assertIsInstance(server.reception, Reception)
