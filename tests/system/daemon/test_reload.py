"""A reload of a daemon that serves connections."""

from __future__ import annotations

from emailsys.control.daemon_requests import Reload
from emailsys.control.requests import RouteExplain, UserList
from emailsys.mail.address import Address
from tests.system.daemon.test_daemon import DaemonCase, Line


class ReloadTests(DaemonCase):
    async def test_a_reload_applies_the_configuration_without_a_restart(self) -> None:
        """New connections get the new limits, open ones keep theirs. A wrong file changes nothing and is answered."""
        daemon = self.started()
        old = await self.away(Line, self.ports["smtp"])
        right = self.config.read_text().replace("[smtp]", "[smtp]\nmax_message_size = 2000000")
        self.config.write_text(right + '[[routing.routes]]\nhost = "smart.example"\n[store]\ndefault_quota = 5000000\n')
        changes: list[object] = []
        daemon.telemetry.also = lambda name, fields: changes.append(fields) if name == "operator-change" else None
        looked = await self.ask(Reload(check=True))
        self.assertEqual(daemon.settings.smtp.max_message_size, 50 * 1024 * 1024)
        told = await self.ask(Reload())
        self.assertEqual(looked, told)
        self.assertEqual(len(changes), 1, "the check changes nothing")
        self.assertIn("'command': 'reload'", str(changes))
        self.assertEqual(told["applied"], ["smtp.max_message_size", "store.default_quota", "routing.routes"])
        new = await self.away(Line, self.ports["smtp"])
        answers = []
        for line in (old, new):
            await self.away(line.read)
            await self.away(line.say, "EHLO client.example")
            answers.append((await self.away(line.say, "MAIL FROM:<> SIZE=3000000"))[:3])
            line.close()
        self.assertEqual(answers, ["250", "552"])
        await self.accounts()
        [row, _] = await self.ask(UserList(None))
        self.assertEqual(row["quota"], 5_000_000)
        found = await self.ask(RouteExplain(Address("x", "elsewhere.example"), None))
        self.assertIn("smart.example", found["next_hops"][0]["next_hop"])
        self.config.write_text(right.replace("2000000", "-1"))
        self.assertIn("smtp.max_message_size: found -1", (await self.ask(Reload()))["problems"][0])
        self.assertEqual(daemon.settings.smtp.max_message_size, 2_000_000)
        self.assertNotIn("reload", str(changes[1:]), "what was refused")
