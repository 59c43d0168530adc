"""The private names of other projects still mean what `emailsys.upstream` takes them to mean."""

from __future__ import annotations

import codecs
import inspect
import os
import re
import select
import subprocess
import sys
import threading
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest import SkipTest, skipIf, skipUnless

from OpenSSL import SSL
from PIL import Image
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.driver import Driver
from textual.events import Key
from textual.message_pump import MessagePump
from textual.widgets import DataTable
from textual_image import renderable
from textual_image.widget import sixel
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.mail import smtp
from twisted.names import client
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override
from zope.interface import implementer

from emailsys import upstream

CHANGED = "has changed upstream: read its source, then emailsys/upstream.py"


class ProcessEndTests(SynchronousTestCase):
    """A command ends at once, but what asked to run at its end has run."""

    def test_exit_functions_run_and_the_status_is_kept(self) -> None:
        program = (
            "import atexit\n"
            "from emailsys.upstream import end_process, run_exit_functions\n"
            "atexit.register(print, 'has run', flush=True)\n"
            "run_exit_functions()\n"
            "end_process(7)\n"
        )
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        self.assertEqual((ended.stdout, ended.returncode), ("has run\n", 7), f"atexit {CHANGED}")


class FrameTests(SynchronousTestCase):
    """A plugin that blocks the reactor is named with the line at which it is."""

    def test_the_frame_of_a_thread_tells_what_it_does(self) -> None:
        frame = upstream.current_frames()[threading.get_ident()]
        self.assertEqual(frame.f_code.co_filename, __file__)


class SlowDescriptor(FileDescriptor):
    """Writes to a kernel that accepts three octets at a time."""

    def __init__(self) -> None:
        super().__init__(MemoryReactorClock())
        self.connected = 1
        self.sent: list[bytes] = []

    @override
    def writeSomeData(self, data: bytes) -> int:
        self.sent.append(data[:3])
        return len(data[:3])


class TLSLayerTests(SynchronousTestCase):
    """Small writes wait for the clock that was named, not for the reactor of the process."""

    def test_the_clock_of_a_layer_can_be_replaced(self) -> None:
        @implementer(IOpenSSLServerConnectionCreator)
        class Creator:
            def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
                raise AssertionError("nobody connects")

        usual, named = Clock(), Clock()
        factory: TLSMemoryBIOFactory = TLSMemoryBIOFactory(Creator(), False, Factory(), clock=usual)
        layer = factory.protocol(factory, Protocol(), False)
        upstream.gather_by(layer, named)
        layer.write(b"x")
        self.assertEqual((len(usual.getDelayedCalls()), len(named.getDelayedCalls())), (0, 1), f"TLS {CHANGED}")


class TransportBufferTests(SynchronousTestCase):
    """Octets that wait in a transport of Twisted are seen there."""

    def setUp(self) -> None:
        self.transport = SlowDescriptor()

    def test_octets_of_this_round_wait_in_the_list(self) -> None:
        self.transport.write(b"waits")
        self.assertEqual((self.transport.dataBuffer, self.transport._tempDataBuffer), (b"", [b"waits"]), CHANGED)
        self.assertEqual(self.transport._tempDataLen, 5, CHANGED)
        self.assertEqual(upstream.unsent(self.transport), 5)

    def test_octets_of_an_earlier_round_wait_behind_an_offset(self) -> None:
        self.transport.write(b"waits")
        self.transport.doWrite()
        self.assertEqual((self.transport.dataBuffer, self.transport.offset), (b"waits", 3), CHANGED)
        self.assertEqual(upstream.unsent(self.transport), 2)

    def test_new_octets_never_overtake_those_that_wait(self) -> None:
        upstream.write_at_once(self.transport, b"hello")
        upstream.write_at_once(self.transport, b"again")
        self.assertEqual(self.transport.sent, [b"hel"])
        self.transport.doWrite()
        self.transport.doWrite()
        self.transport.doWrite()
        self.assertEqual(b"".join(self.transport.sent), b"helloagain")

    def test_octets_beyond_the_limit_of_one_write_are_written_at_once(self) -> None:
        class Descriptor(SlowDescriptor):
            SEND_LIMIT = 3

        self.transport = Descriptor()
        upstream.write_at_once(self.transport, b"hello, world")
        self.assertEqual(self.transport.sent, [b"hel", b"lo,", b" wo", b"rld"])
        self.assertEqual(upstream.unsent(self.transport), 0)

    def test_octets_that_the_kernel_does_not_accept_wait(self) -> None:
        class Descriptor(SlowDescriptor):
            SEND_LIMIT = 4

        self.transport = Descriptor()
        upstream.write_at_once(self.transport, b"hello, world")
        self.assertEqual(self.transport.sent, [b"hel"])
        self.assertEqual(upstream.unsent(self.transport), 9)
        while upstream.unsent(self.transport):
            self.transport.doWrite()
        self.assertEqual(b"".join(self.transport.sent), b"hello, world")


@skipUnless(hasattr(select, "epoll"), "this system has no epoll")
class PollTests(SynchronousTestCase):
    """The reactor of the daemon replaces one method of Twisted's epoll reactor."""

    def test_the_names_of_the_poll_are_those_of_twisted(self) -> None:
        if sys.platform != "linux":
            raise SkipTest("needs Linux")
        from twisted.internet.epollreactor import EPollReactor

        reactor: Any = EPollReactor()
        self.addCleanup(reactor.waker.connectionLost, None)
        self.assertIsInstance(reactor._poller, select.epoll, CHANGED)
        self.assertIn(reactor.waker, reactor._selectables.values(), CHANGED)
        self.assertEqual(list(inspect.signature(reactor._doReadOrWrite).parameters), ["selectable", "fd", "event"])

    def test_the_stock_dispatch_has_the_three_steps_that_ours_has(self) -> None:
        """If Twisted adds a step, ours must decide whether it needs that step too."""
        from twisted.internet.epollreactor import EPollReactor

        used = set(EPollReactor.doPoll.__code__.co_names)
        known = {"_poller", "poll", "len", "_selectables", "_doReadOrWrite", "log", "callWithLogger"}
        self.assertEqual(used - known, {"OSError", "errno", "EINTR", "KeyError"}, CHANGED)
        self.assertEqual(known - used, set(), CHANGED)


class ResolverTests(SynchronousTestCase):
    """Each DNS query has a socket of our own making."""

    def test_a_query_asks_for_its_socket(self) -> None:
        class Opened(Exception):
            pass

        class Resolver(upstream.SocketPerQuery, client.Resolver):
            def open_socket(self, interface: str) -> Any:
                raise Opened(interface)

        resolver = Resolver(servers=[("192.0.2.1", 53), ("2001:db8::1", 53)], reactor=MemoryReactorClock())
        self.assertRaises(Opened, resolver.queryUDP, [])
        self.assertIn("_connectedProtocol", vars(client.Resolver), CHANGED)


class StockDeliveryTests(SynchronousTestCase):
    """Twisted's own delivery is disabled step by step."""

    def test_every_step_that_is_disabled_exists(self) -> None:
        disabled = {name for name, value in vars(upstream.NoStockDelivery).items() if value is upstream.never_reached}
        self.assertEqual(len(disabled), 9)
        self.assertEqual({name for name in disabled if not hasattr(smtp.ESMTP, name)}, set(), CHANGED)


class KeyExchangeTests(SynchronousTestCase):
    def test_a_context_offers_the_groups_that_it_is_told_to(self) -> None:
        """The ClientHello names X25519 (0x001d, RFC 8446 §4.2.7) and nothing else."""
        context = SSL.Context(SSL.TLS_METHOD)
        upstream.offer_key_exchange(SSL, context, b"X25519")
        connection = SSL.Connection(context, None)
        connection.set_connect_state()
        self.assertRaises(SSL.WantReadError, connection.do_handshake)
        self.assertIn(b"\x00\x0a\x00\x04\x00\x02\x00\x1d", connection.bio_read(4096))
        self.assertRaises(RuntimeError, upstream.offer_key_exchange, SSL, context, b"no-such-group")


class TableTests(SynchronousTestCase):
    """The columns of the message list follow the width of the screen."""

    def test_the_table_computes_its_width_again(self) -> None:
        table: DataTable[str] = DataTable()
        table._require_update_dimensions = False
        upstream.measure_columns_again(table)
        self.assertTrue(table._require_update_dimensions)
        stock = inspect.getsource(DataTable._on_idle)
        self.assertIn("if self._require_update_dimensions:", stock, CHANGED)


class SixelTests(SynchronousTestCase):
    """Pictures in terminals with sixels."""

    def test_each_colour_is_selected_after_its_definition(self) -> None:
        (drawn,) = upstream.sixel_picture(sixel)().compose()
        picture = Image.new("RGB", (40, 12), (200, 30, 30))
        picture.paste((0, 0, 160), (20, 0, 40, 12))
        octets = drawn._image_to_sixels(picture, None, background=None)
        found = re.findall(r"#(\d+);2;[\d;]+(?:#(\d+))?", octets)
        self.assertEqual(sorted(found), [("0", "0"), ("1", "1")])
        stock = inspect.getsource(sixel.Image.compose)
        self.assertIn("yield _ImageSixelImpl(self.image, self._sixel_options)", stock, CHANGED)
        stock = inspect.getsource(sixel._ImageSixelImpl.render_lines)
        self.assertIn("self._image_to_sixels(", stock, CHANGED)


class OneRound:
    """An event that is set after the first look at it."""

    def __init__(self) -> None:
        self._looks = 0

    def is_set(self) -> bool:
        self._looks += 1
        return self._looks > 1


class KeyDecodingTests(SynchronousTestCase):
    """A terminal whose encoding is not UTF-8, and octets that are no characters at all."""

    def typed(self, octets: bytes, encoding: str) -> str:
        """Return what the input thread of Textual makes of octets."""
        from textual.drivers import linux_driver

        # The old decoder comes back at the end of the test.
        self.patch(linux_driver, "getincrementaldecoder", codecs.getincrementaldecoder)
        upstream.decode_keys(linux_driver, encoding)
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        os.write(writing, octets)
        os.close(writing)
        keys: list[str] = []
        driver: Any = linux_driver.LinuxDriver.__new__(linux_driver.LinuxDriver)
        driver.fileno, driver.exit_event, driver._debug = reading, OneRound(), False
        driver.process_message = lambda event: keys.append(event.character)
        driver.run_input_thread()
        return "".join(keys)

    @skipIf(sys.platform == "win32", "Windows has another driver")
    def test_octets_of_any_encoding_end_no_program(self) -> None:
        for octets, encoding, characters in (
            ("gr\u00fc\u00dfe".encode("latin-1"), "iso8859-1", "gr\u00fc\u00dfe"),
            (b"\xa4\xb3q", "euc_jp", "\u3053q"),
            (b"a\xfcb", "utf-8", "a\ufffdb"),
        ):
            self.assertEqual(self.typed(octets, encoding), characters, f"{encoding}: the driver {CHANGED}")


class TerminalReplyTests(SynchronousTestCase):
    """Questions to the terminal, whose replies are no keys."""

    def test_textual_image_asks_nothing(self) -> None:
        """It asks by one function, and not when that fails."""
        terminal = import_module("textual_image._terminal")
        self.patch(terminal, "capture_terminal_response", terminal.capture_terminal_response)
        self.patch(terminal.get_cell_size, "_result", None)
        self.assertEqual(upstream.import_pictures((9, 18)).get_cell_size(), (9, 18), CHANGED)
        self.assertRaises(terminal.TerminalError, terminal.capture_terminal_response, "", "", 0.1)
        for asks in (renderable.sixel.query_terminal_support, renderable.tgp.query_terminal_support):
            stock = inspect.getsource(asks)
            self.assertIn("with capture_terminal_response(", stock, CHANGED)
            self.assertIn("except (TerminalError, TimeoutError):", stock, CHANGED)

    def test_textual_reads_what_is_left_of_the_input(self) -> None:
        self.patch(XTermParser, "feed", XTermParser.feed)
        upstream.filter_input(lambda text: text.replace("reply", ""))
        parser = XTermParser()
        keys = [event.key for text in ("a", "reply", "breply") for event in parser.feed(text) if isinstance(event, Key)]
        self.assertEqual(keys, ["a", "b"], CHANGED)
        self.assertEqual([*parser.feed("")], [])
        self.assertTrue(parser.is_eof, CHANGED)

    def test_what_is_written_goes_through_the_driver(self) -> None:
        """Its thread writes all pictures of the screen, so that nothing is written within one."""
        app: App[None] = App()
        self.assertIs(app._driver, None, CHANGED)
        for name in ("write", "flush"):
            self.assertTrue(callable(getattr(Driver, name)), CHANGED)
        written: list[str] = []
        driver = SimpleNamespace(write=written.append, flush=lambda: written.append("flushed"))
        upstream.write_to_terminal(SimpleNamespace(_driver=driver), "?")
        self.assertEqual(written, ["?", "flushed"])


class SurvivingPumpTests(SynchronousTestCase):
    def test_the_stock_pump_dispatches_all_messages_in_one_place(self) -> None:
        for step in (MessagePump._process_messages_loop, MessagePump._pre_process):
            self.assertIn("await self._dispatch_message(", inspect.getsource(step), CHANGED)
        for name in ("Compose", "Mount"):
            self.assertIn(f"events.{name}()", inspect.getsource(MessagePump._pre_process), CHANGED)


class OrderedBindingsTests(SynchronousTestCase):
    def test_the_stock_program_looks_for_a_binding_when_the_key_has_bubbled_up(self) -> None:
        self.assertIn("await self._check_bindings(event.key)", inspect.getsource(App._on_key), CHANGED)
        stock = inspect.getsource(App.on_event)
        self.assertIn("if not await self._check_bindings(event.key, priority=True):", stock, CHANGED)


class FatalErrorTests(SynchronousTestCase):
    def test_the_stock_program_has_the_same_three_steps(self) -> None:
        stock = inspect.getsource(App._fatal_error)
        for step in ("self.bell()", "self._exit_renderables.append(", "self._close_messages_no_wait()"):
            self.assertIn(step, stock, CHANGED)
        self.assertIn("show_locals=True", stock, "the stock program prints no values any more")
        self.assertIn("self._exception = error", inspect.getsource(App._handle_exception), CHANGED)
        self.assertIn("self._fatal_error()", inspect.getsource(App._handle_exception), CHANGED)
