"""Every attribute that POP3Server inherits from twisted.mail is overridden or listed with its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.mail import pop3
from twisted.protocols.basic import LineOnlyReceiver
from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.pop3.authorization_state import AuthorizationState
from emailsys.net.pop3.server import POP3Server
from emailsys.net.pop3.transaction import Transaction
from emailsys.net.serving.connection import Connection
from tests.fakes.net.pop3_house import POP3House

# Stock code that nothing calls. A test below replaces each of these by a trap.
UNREACHED: Final = frozenset(
    {
        # Input: `dataReceived` is overridden.
        "lineReceived",
        "lineLengthExceeded",
        "state_COMMAND",
        "state_AUTH",
        "processCommand",
        "_unblock",
        "_longOperation",
        "_coiterate",
        # Commands that wire.pop3.grammar does not have.
        "do_APOP",
        "do_LAST",
        "do_RPOP",
        "generateMagic",
        "authenticateUserAPOP",
        # net.serving.session_login calls the portal, with the mind.
        "authenticateUserPASS",
        "_cbMailbox",
        "_ebMailbox",
        "_ebUnexpected",
        # RETR and TOP are sent by net.pop3.sending.
        "_getMessageFile",
        "_sendMessageContent",
        "transformChunk",
        "finishedFileTransfer",
        # The transport's producer is that of net.serving.replies.
        "stopProducing",
    }
)

# Values that only the code above reads, or that a session never sets.
UNUSED_VALUES: Final = frozenset(
    {
        "AUTH_CMDS",
        "MAX_LENGTH",
        "_buffer",
        "_highest",
        "_onLogout",
        "_userIs",
        "blocked",
        "delimiter",
        "magic",
        "mbox",
        "portal",
        "schedule",
        "state",
        "timeOut",
        "factory",
    }
)


def stock_attributes() -> set[str]:
    """Returns the attributes of pop3.POP3 and its line receiver, without those of every protocol."""
    names: set[str] = set()
    for owner in (pop3.POP3, LineOnlyReceiver):
        names |= {name for name in vars(owner) if not name.startswith("__")}
    return names


def is_ours(name: str) -> bool:
    """Returns whether an attribute is defined by a class of emailsys."""
    owner = next(owner for owner in POP3Server.__mro__ if name in vars(owner))
    return owner.__module__.startswith("emailsys.")


class StockTests(SynchronousTestCase):
    """A new do_X in Twisted, or a misspelled override, fails here."""

    def test_every_stock_attribute_is_ours_or_has_its_reason(self) -> None:
        left = {name for name in stock_attributes() if not is_ours(name)}
        self.assertEqual(left - UNREACHED - UNUSED_VALUES, set())

    def test_the_list_names_nothing_that_is_gone(self) -> None:
        known = {name for owner in POP3Server.__mro__ for name in vars(owner)}
        self.assertEqual((UNREACHED | UNUSED_VALUES) - known, set())

    def test_stock_methods_listed_as_unreached_are_never_called(self) -> None:
        """No trap is reached while a client sends every command, and many invalid ones."""

        def trap(name: str) -> Callable[..., Any]:
            def reached(*args: object, **kwargs: object) -> None:
                raise AssertionError(f"stock {name} was reached")

            return reached

        for name in UNREACHED:
            self.patch(POP3Server, name, trap(name))
        house = POP3House()
        said = (
            b"CAPA\r\nAPOP a b\r\nRPOP a\r\nLAST\r\nAUTH\r\nAUTH LOGIN\r\n*\r\nSTLS\r\nUTF8\r\n"
            b"USER alice@example.test\r\nPASS x\r\nUSER alice@example.test\r\nPASS secret\r\nLAST\r\nSTAT\r\nLIST\r\n"
            b"LIST 1\r\nUIDL\r\nUIDL 1\r\nRETR 1\r\nTOP 1 1\r\nDELE 1\r\nDELE x\r\nNOOP\r\nRSET\r\n"
            + b"x" * 20_000
            + b"\r\nQUIT\r\n"
        )
        peer = house.connect()
        for start in range(0, len(said), 7):
            peer.say(said[start : start + 7])
        self.assertTrue(peer.heard().endswith(b"-ERR line too long\r\n+OK bye, 0 messages removed\r\n"))
        silent = house.login()
        house.clock.advance(601)
        self.assertIn(b"-ERR idle for too long", silent.heard())
        house.login().lose()
        self.assertEqual(house.telemetry.counters["exception"], 0)

    def test_the_protocol_is_a_shell_over_its_parts(self) -> None:
        """The connection, the login and the maildrop's commands are objects, not base classes of the protocol."""
        house = POP3House()
        house.connect()
        self.assertFalse(isinstance(house.server, Connection | AuthorizationState | Transaction))
        self.assertIsInstance(house.server.connection, Connection)
        self.assertIsInstance(house.server.authorization, AuthorizationState)
        self.assertIsInstance(house.server.transaction, Transaction)
