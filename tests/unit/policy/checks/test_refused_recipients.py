"""Recipients that a check lets pass, and that the session refuses after it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from emailsys.extension import AddField, Quarantine, Redirect
from emailsys.mail.envelope import RemoteRoute
from tests.unit.policy.checks.test_session_checks import COMMANDS, CheckCase, Directory, Says


class Members(Directory):
    """Has a list with three members in other systems."""

    async def resolve(self, path: Any, local_ip: str = "", sender: Any = None) -> Any:
        if path.local != "list":
            return await super().resolve(path, local_ip, sender)
        members = (replace(path, local=name, domain="elsewhere.test") for name in ("a", "b", "c"))
        return tuple(RemoteRoute(member) for member in members)


class RefusedRecipients(CheckCase):
    def test_a_recipient_that_leads_to_too_many_addresses_is_no_recipient_for_checks(self) -> None:
        """Neither is it told to the check of the message, nor counts what was found for it."""

        opinions: list[Any] = [
            AddField("X-Alice", "yes"),
            (Redirect("list@example.test"), AddField("X-Bob", "yes"), Quarantine("for bob")),
            None,
        ]

        def opinion(*told: Any) -> Any:
            return opinions.pop(0)

        at_recipient, at_message = Says("recipient", opinion), Says("message", None)
        house = self.house(at_recipient, at_message)
        checks: Any = house.factory.service.checks
        checks.router = Members(house)
        house.factory.service = replace(
            house.factory.service, settings=replace(house.factory.service.settings, max_routes=2)
        )
        bob = b"RCPT TO:<bob@example.test>\r\n"
        codes = self.play(house, (*COMMANDS[:3], bob, bob, *COMMANDS[3:]))
        self.assertEqual(codes, ["220", "250", "250", "250", "452", "250", "354", "250"])
        alone = ("alice@example.test",)
        self.assertEqual([told[0].recipients for told in at_recipient.told], [(), alone, alone])
        [told] = at_message.told
        self.assertEqual(told[0].recipients, (*alone, "bob@example.test"))
        (message,) = house.messages
        self.assertEqual(len(message.envelope.recipients), 2)
        self.assertTrue(message.body.startswith(b"X-Alice: yes\r\nReceived:"))
