"""The public package emailsys.extension is what docs/extending.md lists, each name with its signature."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import get_args

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface
from zope.interface.interface import Method
from zope.interface.verify import verifyObject

from emailsys import extension
from emailsys.extension import AddField, Defer, Message, Quarantine, Redirect, Refuse

PAGE = Path(extension.__file__).resolve().parents[2] / "docs" / "extending.md"


def _annotation(annotation: object) -> str:
    return str(getattr(annotation, "__forward_arg__", annotation))


def _parameters(found: Callable[..., object]) -> str:
    """The parameters of a callable as its source writes them."""
    signature = inspect.signature(found)
    written = []
    for parameter in signature.parameters.values():
        if parameter.name != "self":
            default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
            written.append(f"{parameter.name}: {_annotation(parameter.annotation)}{default}")
    returned = "" if inspect.isclass(found) else f" -> {signature.return_annotation}"
    return f"({', '.join(written)}){returned}"


def signatures() -> Iterator[str]:
    """One line for each name, and for each method and attribute of it."""
    for name in extension.__all__:
        found = getattr(extension, name)
        if get_args(found):
            yield f"{name} = {' | '.join(kind.__name__ for kind in get_args(found))}"
        elif isinstance(found, type(Interface)):
            yield f"{name}:"
            for member, description in sorted(found.namesAndDescriptions()):
                parameters = description.getSignatureString() if isinstance(description, Method) else ""
                yield f"    {member}{parameters}"
        elif issubclass(found, Exception):
            yield f"{name}: exception"
        else:
            yield f"{name}{_parameters(found)}"
            for member, value in inspect.getmembers(found):
                if member.startswith("_") and member != "__aiter__":
                    continue
                if inspect.isfunction(value):
                    yield f"    {'async ' * inspect.iscoroutinefunction(value)}{member}{_parameters(value)}"
                elif not callable(value):
                    yield f"    {member}"


class Stable(SynchronousTestCase):
    """A change here breaks the code of others: add to it, and change nothing that stands there."""

    def test_the_page_lists_each_name_with_its_signature(self) -> None:
        self.assertIn("```text\n" + "\n".join(signatures()) + "\n```\n", PAGE.read_text("utf-8"))

    def test_the_base_class_has_what_the_interface_promises(self) -> None:
        self.assertTrue(verifyObject(extension.IPolicyCheck, extension.PolicyCheck()))
        self.assertTrue(verifyObject(extension.ICheckPlugin, extension.CheckPlugin("name", "package.module.Class")))


async def nothing() -> AsyncIterator[bytes]:
    """The octets of a message that is not read."""
    yield b""


class Messages(SynchronousTestCase):
    def test_a_field_is_the_first_of_its_name(self) -> None:
        head = (
            b"no field\r\nX-Subject: other\r\nSUBJECT \t:  one\r\n\ttwo\r\n Subject: in it\r\nsubject: second\r\n"
            b"X.Y: dot\r\nEmpty:\r\nTo: \xc3\xa4:b\r\n\r\n"
        )
        message = Message(head, len(head), nothing)
        values = {field.name.lower(): field.value for field in reversed(message.fields)}
        self.assertEqual(values["subject"], "one\ttwo Subject: in it")
        for name in (*values, "Subject", "xay", "x.y", "no field", "nobody", "", "(", "\u00e4"):
            self.assertEqual(message.field(name), values.get(name.lower()), name)

    def test_the_header_is_taken_apart_once(self) -> None:
        """It may be long and hostile, and other sessions wait meanwhile."""
        message = Message(b"a:\r\n" * 10, 40, nothing)
        self.assertIs(message.fields, message.fields)
        self.assertEqual(len(message.fields), 10)


class Values(SynchronousTestCase):
    """No verdict can add a line to a reply or to a header, or have a code of another kind."""

    def test_what_is_not_valid_is_refused_where_it_is_made(self) -> None:
        broken = "a\r\n250 ok", "a\nb", "a\rb", "a\0b", "a\x85b", "a\u2028b", "x" * 401
        for text in broken:
            for make in (Refuse, Defer, Quarantine):
                self.assertRaises(ValueError, make, text)
        for code in (250, 354, 421.5, 600, 0, -550, True):
            self.assertRaises(ValueError, Refuse, "no", code)
            self.assertRaises(ValueError, Defer, "no", code)
        self.assertRaises(ValueError, Refuse, "no", 450, "5.7.1")
        for enhanced in ("4.7.1", "5.7", "5.7.1\r\n", "", "5.7.1000", " 5.7.1"):
            self.assertRaises(ValueError, Refuse, "no", 550, enhanced)
        for name in ("", "X Y", "X:", "X\r\n", "Bcc: b\r\nX", "\u00e4", "x" * 78):
            self.assertRaises(ValueError, AddField, name, "v")
        for value in ("a\r\nBcc: b", "a\n b", "\0", "\u00e4", "x" * 998):
            self.assertRaises(ValueError, AddField, "X-A", value)
        for address in ("", "a", "a@", "a@b\r\n", "<a@b.test>", "a b@c.test"):
            self.assertRaises(ValueError, Redirect, address)
        self.assertRaises(TypeError, Refuse, b"no")
        self.assertRaises(TypeError, AddField, "X", b"v")
        self.assertRaises(TypeError, Redirect, b"a@b.test")
        self.assertRaises(TypeError, Quarantine, None)
