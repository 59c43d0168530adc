"""Private names of Twisted, pyOpenSSL, the standard library and Textual that emailsys depends on, all in one place.

No other module uses a private name of another project; `tests/test_house.py` checks it. Each entry says why the public
interface is not enough, and in which version the name was seen. `tests/unit/test_upstream.py` has a test for each
name: when an upgrade changes one, that test fails first. The module imports none of these packages itself.
"""

from __future__ import annotations

import atexit
import os
import re
import sys
from abc import abstractmethod
from codecs import getincrementaldecoder
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from importlib import import_module
from types import FrameType
from typing import Any, Final, NoReturn

#: Runs the functions registered with `atexit`. The standard library runs them only while the interpreter shuts down,
#: and `emailsys.cli.main` skips that shutdown. Seen in CPython 3.11.
run_exit_functions: Final[Callable[[], object]] = atexit._run_exitfuncs

#: Ends the process at once with an exit status. The name is documented; its underscore is a warning: no cleanup runs.
end_process: Final[Callable[[int], NoReturn]] = os._exit

#: Returns what each thread does at this moment, by its id. The name is documented; its underscore is a warning:
#: the frames go on changing. Nothing else shows where another thread is stuck.
current_frames: Final[Callable[[], Mapping[int, FrameType]]] = sys._current_frames

# The definition of a colour in sixels: its number, 2 for RGB, and three percentages.
_COLOUR: Final = re.compile(r"#(\d+);2;\d+;\d+;\d+")

# Octets of one record of TLS (RFC 8446 §5.1). Encrypted, with all else that OpenSSL sends, it is shorter than two.
_RECORD: Final = 1 << 14


def write_at_once(transport: Any, octets: bytes) -> None:
    """Write octets to the socket now, in the clear, and hand to the transport what the kernel does not accept.

    A public `write` waits for the next round of the reactor and changes its poll set twice. That costs more than all
    the work done for these octets before. Octets that already wait go first, so then the transport gets these too.

    One `writeSomeData` writes `SEND_LIMIT` octets at most. A piece of a large message is longer, and the kernel
    usually accepts all of it.

    `_tempDataBuffer` holds the octets written since the last round; `dataBuffer` alone holds only older ones.
    Seen in Twisted 26.10 (`twisted.internet.abstract.FileDescriptor`).
    """
    if transport.dataBuffer or transport._tempDataBuffer:
        transport.write(octets)
        return
    written = transport.writeSomeData(octets)
    if written == len(octets):
        return
    rest, limit = memoryview(octets), transport.SEND_LIMIT
    while True:
        # On an error the reactor's next round ends the connection.
        if isinstance(written, int):
            rest = rest[written:]
        if not rest or written != limit:
            break
        written = transport.writeSomeData(rest)
    if rest:
        transport.write(bytes(rest))


def encrypt_at_once(transport: Any, octets: bytes) -> None:
    """Encrypt octets and write them to the socket now. The TLS handshake of the transport is over.

    Twisted's layer gathers octets until the next turn of its clock, and the transport below it until the next round of
    the reactor. That costs as much as all the other work for a small reply. Octets that already wait go first.

    The layer is the transport itself, or after `startTLS` the protocol of the transport. Its `_aggregator` gathers
    small writes, and `_appSendBuffer` holds those that OpenSSL has not accepted. After `loseConnection`, and after the
    connection is lost, the layer drops octets. Seen in Twisted 26.10 (`twisted.protocols.tls`,
    `twisted.internet._newtls`).
    """
    layer = transport.protocol if transport.TLS else transport
    if layer.disconnecting or not layer.connected or layer._appSendBuffer or layer._aggregator._buffer:
        transport.write(octets)
        return
    connection, rest, records = layer._tlsConnection, memoryview(octets), []
    while rest:
        try:
            accepted = connection.send(rest[:_RECORD])
        except Exception:
            # OpenSSL has to read first, or the connection has failed. The layer gets the same answer and acts on it.
            break
        rest = rest[accepted:]
        records.append(connection.bio_read(2 * _RECORD))
    if records:
        write_at_once(layer.transport, b"".join(records))
    if rest:
        layer._write(bytes(rest))


def gather_by(tls: Any, clock: Any) -> None:
    """Let a TLS layer gather small writes by a clock, in place of the process's reactor.

    `transport.startTLS` makes the layer and offers no way to name another reactor. Seen in Twisted 26.10
    (`twisted.protocols.tls`).
    """
    tls._aggregator._clock = clock


def unsent(transport: Any) -> int:
    """Count the octets that Twisted holds because the kernel has not accepted them; under TLS, after encryption.

    Returns 0 if the transport does not tell. Small writes that a TLS layer still gathers are not counted. A TLS layer
    passes attributes it does not have on to the transport below it.

    `_tempDataLen` is the length of `_tempDataBuffer`. Seen in Twisted 26.10
    (`twisted.internet.abstract.FileDescriptor`).
    """
    held = getattr(transport, "dataBuffer", b"")
    return len(held) - getattr(transport, "offset", 0) + getattr(transport, "_tempDataLen", 0)


class UnloggedPoll:
    """Mixin for `EPollReactor`: dispatch each event without a log context around it.

    `EPollReactor.doPoll` offers no hook between the poll and the dispatch, so it is replaced as a whole.
    Seen in Twisted 26.10 (`twisted.internet.epollreactor`, `twisted.internet.posixbase`).
    """

    _poller: Any
    _selectables: dict[int, Any]
    _doReadOrWrite: Callable[[Any, int, int], None]

    def doPoll(self, timeout: float | None) -> None:
        for descriptor, event in self._poller.poll(timeout, len(self._selectables)):
            # An event handled earlier in this round may have closed this descriptor.
            selectable = self._selectables.get(descriptor)
            if selectable is not None:
                self._doReadOrWrite(selectable, descriptor, event)


class SocketPerQuery:
    """Mixin for `twisted.names.client.Resolver`: the subclass opens the UDP socket of each query.

    The stock method chooses a port by itself and builds a stock protocol, and no public method does either.
    Seen in Twisted 26.10.
    """

    def _connectedProtocol(self, interface: str = "") -> Any:
        return self.open_socket(interface)

    @abstractmethod
    def open_socket(self, interface: str) -> Any:
        """Open a socket for one query and return its protocol, a `DNSDatagramProtocol`."""


def never_reached(self: object, *arguments: object, **named: object) -> NoReturn:
    """Stand in for a stock method that our code replaces.

    @raise RuntimeError: always.
    """
    raise RuntimeError("the stock input and delivery path of twisted.mail is disabled")


class NoStockDelivery:
    """Mixin for `twisted.mail.smtp.ESMTP`: disable the private steps of its own delivery and authentication.

    A stock step that ran by mistake would bypass our order of commands, so each one raises `RuntimeError`.
    Seen in Twisted 26.10.
    """

    _cbFromValidate = _ebFromValidate = _cbToValidate = _ebToValidate = never_reached
    _messageHandled = _disconnect = never_reached
    _cbAnonymousAuthentication = _cbAuthenticated = _ebAuthenticated = never_reached


def offer_key_exchange(ssl: Any, context: Any, groups: bytes) -> None:
    """Limit the groups of key exchange that a TLS context offers, as OpenSSL names them: b"X25519".

    pyOpenSSL has the function, but no public method for it: `set_tmp_ecdh` takes curves of another kind only. Seen in
    pyOpenSSL 26.4.

    @param ssl: the module `OpenSSL.SSL`. @param context: its `Context`.
    @raise RuntimeError: OpenSSL does not know the groups.
    """
    if ssl._lib.SSL_CTX_set1_curves_list(context._context, groups) != 1:
        raise RuntimeError(f"OpenSSL has no key exchange {groups!r}")


def measure_columns_again(table: Any) -> None:
    """Make a Textual `DataTable` compute its width again after the width of a column was set.

    The table does this by itself only when rows or columns are added. Seen in Textual 8.2.
    """
    table._require_update_dimensions = True


def sixel_picture(sixel: Any) -> Any:
    """Return the sixel widget of textual-image, changed so that xterm shows all of a picture in its own colours.

    textual-image defines a colour and draws with it. xterm (379) draws with the colour that was selected before, so
    that a picture begins with a green stripe: here, each colour is selected after its definition, too. textual-image
    has no public hook for this. Seen in textual-image 0.12.

    @param sixel: the module `textual_image.widget.sixel`.
    """

    class Drawn(sixel._ImageSixelImpl, can_focus=False, inherit_css=False):  # type: ignore[misc, call-arg]
        def _image_to_sixels(self, *arguments: Any, **named: Any) -> str:
            sixels: str = super()._image_to_sixels(*arguments, **named)
            return _COLOUR.sub(r"\g<0>#\1", sixels)

    class Picture(sixel.Image, Renderable=sixel._NoopRenderable):  # type: ignore[misc, call-arg]
        def compose(self) -> Iterator[Any]:
            yield Drawn(self.image, self._sixel_options)

    return Picture


def import_pictures(cell: tuple[int, int] | None) -> Any:
    """Import textual-image, but keep it from asking the terminal, whose replies Textual reads. Return its widgets.

    textual-image asks while it is imported, and has no option against it. Seen in textual-image 0.12.

    @param cell: width and height of a cell in pixels; None if the terminal did not tell them.
    @return: the module `textual_image.widget`.
    """
    terminal: Any = import_module("textual_image._terminal")

    def ask_nothing(*arguments: object, **named: object) -> NoReturn:
        raise terminal.TerminalError("the terminal is in use")

    terminal.capture_terminal_response = ask_nothing
    widgets = import_module("textual_image.widget")
    if cell is not None:
        terminal.get_cell_size._result = terminal.CellSize(*cell)
    return widgets


def filter_input(take_out: Callable[[str], str]) -> None:
    """Pass what the terminal sends through a function, before Textual reads it as keys. Seen in Textual 8.2.

    Textual reads a reply that it does not know as the keys Escape, `_`, `G` and so on. The drivers offer no hook.

    @param take_out: returns what is left for Textual. Runs in the input thread.
    """
    parser: Any = import_module("textual._xterm_parser").XTermParser
    stock = parser.feed

    def feed(self: Any, data: str) -> Any:
        left = take_out(data) if data else data
        # An empty text would be the end of the input.
        return stock(self, left) if left or not data else ()

    parser.feed = feed


def write_to_terminal(app: Any, text: str) -> None:
    """Write control sequences between two pictures of a Textual program that runs. Seen in Textual 8.2."""
    app._driver.write(text)
    app._driver.flush()


def decode_keys(linux_driver: Any, encoding: str) -> None:
    """Let Textual decode what is typed by an encoding, and replace octets that are no characters in it.

    Textual decodes it as UTF-8. Any other octet, such as a letter from a terminal in Latin-1, raises an exception in
    its input thread, and the program ends. The driver offers no hook: it takes the decoder from the names of its
    module. Seen in Textual 8.2.

    @param linux_driver: the module `textual.drivers.linux_driver`.
    """
    decoder = partial(getincrementaldecoder(encoding), "replace")
    linux_driver.getincrementaldecoder = lambda name: decoder


class NoLocals:
    """Mixin for `textual.app.App`: what the program prints after an unexpected exception has no values of variables.

    The stock traceback prints local variables, among them passwords and text of messages. Seen in Textual 8.2.
    """

    _exit_renderables: list[Any]
    _exception: Exception | None
    bell: Callable[[], None]
    _close_messages_no_wait: Callable[[], None]

    def _fatal_error(self) -> None:
        self.bell()
        self._exit_renderables.append(self.failure_text(self._exception))
        self._close_messages_no_wait()

    @abstractmethod
    def failure_text(self, error: Exception | None) -> Any:
        """Return what is printed about an exception that ends the program."""


class OrderedBindings:
    """Mixin for `textual.app.App`: the action of a key that is no text runs before the next key is handled.

    The stock program looks for it when the key has bubbled up from its widget, behind the keys that came meanwhile: if
    A, Backspace and B are typed fast, B is erased. Seen in Textual 8.2.
    """

    _check_bindings: Callable[..., Coroutine[Any, Any, bool]]

    async def ran_binding(self, key: str) -> bool:
        """Run the action of a key. Return whether it has one."""
        return await self._check_bindings(key, priority=True) or await self._check_bindings(key)


class SurvivingPump:
    """Mixin for an `App`, a `Screen` or a `Widget` of Textual: an exception of a handler, a timer or a key is reported.

    The stock pump ends the program with a traceback, and no public hook comes before it. A widget that cannot be built
    still does that: it would stay empty. Seen in Textual 8.2.
    """

    async def _dispatch_message(self, message: Any) -> None:
        try:
            await super()._dispatch_message(message)  # type: ignore[misc]
        except Exception as error:
            if type(message).__name__ in ("Compose", "Mount"):
                raise
            self.handler_failed(error)

    @abstractmethod
    def handler_failed(self, error: Exception) -> None:
        """Report the exception of a handler. The next message is handled as if there had been none."""
