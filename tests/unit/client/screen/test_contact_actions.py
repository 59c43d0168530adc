"""The contact book of the full screen: what its keys leave in contacts.toml, in vCard files and in the composer."""

from __future__ import annotations

from textual.widgets import Input, Label, OptionList

from emailsys.client.contacts.book import Contact
from emailsys.mail.address import parse
from tests.unit.client.screen.screen_case import Driver, ScreenCase, tries


class ContactTests(ScreenCase):
    """Bob is the sender of all messages."""

    @property
    def book(self) -> dict[str, tuple[str, ...]]:
        """The contacts on disk: short names, with what each stands for."""
        return {name: tuple(map(str, one.mailboxes)) for name, one in self.mailbox.contacts.load().items()}

    @tries("contacts", "add_sender", "write_to")
    def test_the_sender_becomes_a_contact_that_is_written_to(self) -> None:
        async def steps(driver: Driver) -> None:
            # The short name and the address are there already.
            driver.burst("A", "a", "enter", "enter")
            await driver.until(lambda: self.book == {"bob": ("Bob <bob@example.org>",)})
            await driver.until_screen("ContactBookDialog")
            driver.burst("a")
            await driver.until(lambda: "a contact already: bob" in driver.said)
            driver.burst("m")
            await driver.until_screen("Composer")
            self.assertEqual(driver.app.screen.query_one("#to", Input).value, "Bob <bob@example.org>")
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)

    @tries("add_contact", "change_contact", "remove_contact")
    def test_a_group_is_added_changed_and_removed(self) -> None:
        """What cannot be used stays in its dialog, as it was typed."""

        async def steps(driver: Driver) -> None:
            driver.burst("A", "n", "the team", "enter")
            await driver.until(lambda: "is not a short name" in driver.refusal)
            driver.burst("ctrl+u", "team", "enter", "ann@", "enter")
            await driver.until(lambda: driver.refusal.startswith("ann@: "))
            driver.burst("x.example, ben@x.example", "enter", "j", "enter")
            await driver.until(lambda: self.book == {"team": ("ann@x.example", "ben@x.example")})
            driver.burst("enter", "ctrl+u", "both", "enter", ", cy@x.example", "enter", "j", "enter")
            await driver.until(lambda: self.book == {"both": ("ann@x.example", "ben@x.example", "cy@x.example")})
            await driver.until_screen("ContactBookDialog")
            driver.burst("d")
            await driver.until_screen("ConfirmDialog")
            # No has the focus.
            await driver.press("enter")
            await driver.until_screen("ContactBookDialog")
            self.assertEqual(len(self.book), 1)
            driver.burst("d")
            await driver.until_screen("ConfirmDialog")
            await driver.press("y")
            await driver.until(lambda: "none yet" in title(driver))
            await driver.press("d")
            await driver.until(lambda: "no contacts yet" in driver.said)
            await driver.until_screen("ContactBookDialog")
            await driver.press("q")
            await driver.until_screen("MainScreen")

        def title(driver: Driver) -> str:
            return "".join(str(one.visual) for one in driver.app.screen.query(".title").results(Label))

        self.drive(steps)
        self.assertEqual(self.book, {})

    @tries("import_cards", "export_cards")
    def test_contacts_come_from_and_go_to_vcard_files(self) -> None:
        card = self.folder / "in.vcf"
        card.write_bytes(b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ann\r\nEMAIL:ann@x.example\r\nEND:VCARD\r\n")
        target = self.folder / "out.vcf"
        target.write_bytes(b"old")
        self.mailbox.contacts.put([Contact("zoe", "Zoe", (parse("zoe@x.example"),))])

        async def steps(driver: Driver) -> None:
            driver.burst("A", "i", f"{card}", "enter")
            await driver.until(lambda: "1 contact imported." in driver.said)
            await driver.until_screen("ContactBookDialog")
            options = driver.app.screen.query_one(OptionList)
            lines = [str(options.get_option_at_index(at).prompt) for at in range(options.option_count)]
            self.assertEqual(lines, ["ann  Ann <ann@x.example>", "zoe  Zoe <zoe@x.example>"])
            driver.burst("x", "ctrl+u", f"{self.folder}", "enter")
            await driver.until(lambda: "Is a directory" in driver.refusal)
            driver.burst("/nowhere/out.vcf", "enter")
            await driver.until(lambda: "No such file" in driver.refusal)
            driver.burst("ctrl+u", f"{target}", "enter")
            # A file that exists is replaced after a question.
            await driver.until_screen("ConfirmDialog")
            self.assertEqual(target.read_bytes(), b"old")
            await driver.press("y")
            await driver.until(lambda: "All contacts are in" in driver.said)
            await driver.press("escape")
            await driver.until_screen("MainScreen")
            driver.burst("A", "i", f"{self.mailbox.paths.accounts}", "enter")
            await driver.until(lambda: "no vCard in it" in driver.refusal)

        self.drive(steps)
        self.assertEqual(target.read_bytes().count(b"BEGIN:VCARD"), 2)
        self.assertIn(b"NICKNAME:ann\r\nEMAIL;PREF=1:ann@x.example", target.read_bytes())
