"""Completion of addresses in the full screen: the message goes to the suggestion that was accepted."""

from __future__ import annotations

import gc
import threading
from functools import partial
from typing import Any

from textual.widgets import Input, OptionList

from emailsys.client.archive.values import Addition, Folder
from emailsys.client.compose.draft import Draft
from emailsys.client.compose.message_builder import build
from emailsys.client.screen.address_fields import AddressField
from emailsys.mail.address import parse
from emailsys.mail.message.mailboxes import Mailbox
from tests.fakes.client.telling_loop import telling_loop
from tests.unit.client.screen.screen_case import ALICE, NOW, PATIENCE, Driver, ScreenCase, tries


class CompletionTests(ScreenCase):
    """Alice wrote to Börje Brown. Bob wrote to her, and so did a sender with a bidirectional override in the name."""

    def setUp(self) -> None:
        super().setUp()
        borje = Mailbox("Börje Brown", parse("borje@example.net"))
        odd = Mailbox("Bo\u202eris, the Bad", parse("boris@example.com"))
        for draft, folder in (
            (Draft(ALICE, [borje], subject="Hello", text="x"), "Sent"),
            (Draft(odd, [ALICE], subject="Hello", text="x"), "Inbox"),
        ):
            self.mailbox.archive.add(Addition(build(draft, NOW).octets, Folder("alice", folder)))

    def offers(self, driver: Driver, name: str = "to") -> list[str]:
        field: Any = driver.app.screen.query_one(f"#{name}").parent
        options = field.query_one(OptionList)
        if not options.display:
            return []
        return [str(options.get_option_at_index(at).prompt) for at in range(options.option_count)]

    def line(self, driver: Driver, name: str = "to") -> str:
        return driver.app.screen.query_one(f"#{name}", Input).value

    async def send(self, driver: Driver) -> list[str]:
        driver.fill("#subject", "To whom")
        driver.fill("#body", "x")
        await driver.press("ctrl+t")
        await driver.until(lambda: self.network.sent)
        draft = self.mailbox.open_draft(self.network.sent[0])
        return [str(one.address) for one in (*draft.to, *draft.cc, *draft.bcc)]

    @tries("next_field")
    def test_recipients_are_suggested_before_authors(self) -> None:
        """After "bo" and Tab, the message goes to the completed address."""

        async def steps(driver: Driver) -> list[str]:
            await driver.compose()
            await driver.press("b", "o")
            await driver.until(lambda: len(self.offers(driver)) == 3)
            self.assertEqual(self.offers(driver)[0], "Börje Brown <borje@example.net>")
            await driver.press("tab")
            self.assertEqual(self.line(driver), "Börje Brown <borje@example.net>, ")
            self.assertEqual(self.offers(driver), [])
            return await self.send(driver)

        self.assertEqual(self.drive(steps), ["borje@example.net"])

    @tries("offer_next", "offer_previous")
    def test_another_offer_is_chosen_and_a_second_address_follows(self) -> None:
        """↓ ↓ ↑ Enter accepts the second suggestion. After its comma, part of a host name completes another one."""

        async def steps(driver: Driver) -> list[str]:
            await driver.compose()
            await driver.press("b", "o")
            await driver.until(lambda: len(self.offers(driver)) == 3)
            await driver.press("down", "down", "up", "enter")
            self.assertIn("@example.", self.line(driver))
            await driver.type("@example.net")
            await driver.until(lambda: self.offers(driver) == ["Börje Brown <borje@example.net>"])
            field: Any = driver.app.screen.query_one("#to").parent
            await driver.pilot.click(field.query_one(OptionList), offset=(3, 0))
            await driver.until(lambda: "borje" in self.line(driver))
            return await self.send(driver)

        first, second = self.drive(steps)
        self.assertIn(first, ("bob@example.org", "boris@example.com"))
        self.assertEqual(second, "borje@example.net")

    def test_a_name_with_a_comma_is_quoted_and_turns_no_line_round(self) -> None:
        """The name is quoted and loses its control characters. Text after the quoted comma is one address."""

        async def steps(driver: Driver) -> list[str]:
            await driver.compose()
            await driver.press(*"boris")
            await driver.until(lambda: self.offers(driver) == ['"Boris, the Bad" <boris@example.com>'])
            await driver.press("tab", *"bob")
            await driver.until(lambda: self.offers(driver) == ["Bob <bob@example.org>"])
            await driver.press("enter")
            return await self.send(driver)

        self.assertEqual(self.drive(steps), ["boris@example.com", "bob@example.org"])

    def test_esc_wants_none_and_tab_leads_on(self) -> None:
        """Esc closes the suggestions, not the message. Tab then goes to Cc, and the typed text stays."""

        async def steps(driver: Driver) -> None:
            await driver.compose()
            await driver.press("b", "o")
            await driver.until(lambda: self.offers(driver))
            await driver.press("escape")
            self.assertEqual(type(driver.app.screen).__name__, "Composer")
            self.assertEqual(self.offers(driver), [])
            await driver.press("tab")
            self.assertEqual(getattr(driver.app.screen.focused, "id", None), "cc")
            self.assertEqual(self.line(driver), "bo")
            await driver.press("enter")
            self.assertEqual(getattr(driver.app.screen.focused, "id", None), "bcc")
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)

    def test_a_whole_address_is_not_made_another_one(self) -> None:
        """Tab leaves the complete address borje@example.ne alone; ↓ and Tab accept the longer one."""

        async def steps(driver: Driver) -> None:
            await driver.compose()
            await driver.type("borje@example.ne")
            await driver.until(lambda: self.offers(driver))
            await driver.press("tab")
            self.assertEqual(self.line(driver), "borje@example.ne")
            self.assertEqual(self.offers(driver), [])
            await driver.type("borje@example.ne")
            await driver.until(lambda: self.offers(driver, "cc"))
            await driver.press("down", "tab")
            self.assertEqual(self.line(driver, "cc"), "Börje Brown <borje@example.net>, ")

        self.drive(steps)

    def test_no_suggestion_for_earlier_letters_replaces_an_address(self) -> None:
        """Suggestions for "bo" are shown. A pasted address keeps its words before its own search has answered."""
        found = threading.Event()

        async def steps(driver: Driver) -> None:
            telling_loop().patience_with_threads = 0.05
            await driver.compose()
            for name, key, following in (("to", "tab", "cc"), ("cc", "enter", "bcc")):
                field: Any = driver.app.screen.query_one(f"#{name}").parent
                find = field._find

                def slow(typed: str, find: Any = find) -> Any:
                    return found.wait(PATIENCE) and find(typed)

                await driver.type("bo")
                await driver.until(partial(getattr, field, "is_offering"))
                found.clear()
                field._find = slow
                try:
                    await driver.type("b@x.org")
                    await driver.pilot.click(field.query_one(OptionList), offset=(3, 0))
                    await driver.press(key)
                    self.assertEqual(self.line(driver, name), "bob@x.org")
                    self.assertEqual(getattr(driver.app.screen.focused, "id", None), following)
                finally:
                    found.set()
                # The search answers when the field has lost the focus.
                await driver.until(lambda: all(one.group != "offers" for one in driver.app.workers))
                self.assertEqual(self.offers(driver, name), [])

        self.drive(steps)

    def test_a_search_that_is_cancelled_before_it_starts_leaves_no_warning(self) -> None:
        async def steps(driver: Driver) -> None:
            await driver.compose()
            field = driver.app.screen.query_one(AddressField)
            for _ in range(3):
                field.on_input_changed()
            await driver.pilot.pause()
            gc.collect()

        self.drive(steps)
        self.assertEqual([one["message"] for one in self.flushWarnings() if "never awaited" in one["message"]], [])

    def test_without_an_index_addresses_are_typed_by_hand(self) -> None:
        """If the index cannot be read, there are no suggestions and no error, and the message can be written."""

        async def steps(driver: Driver) -> None:
            await driver.compose()
            self.mailbox.archive._index.connection.execute("ALTER TABLE people RENAME TO nobody")
            await driver.press("b", "o")
            field = driver.app.screen.query_one(AddressField)
            await field._offer("bo")
            self.assertEqual((self.offers(driver), self.line(driver)), ([], "bo"))

        self.drive(steps)
