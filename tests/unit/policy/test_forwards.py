"""Forwards of accounts: targets, copies, loops, and the right to send."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.interfaces import Account
from emailsys.mail.address import Address, parse
from emailsys.mail.envelope import LocalRoute, RemoteRoute, Route
from emailsys.policy.expansion import AliasRouter, StepKind
from tests.fakes.store.memory_store import MemoryStore


class RestoreOne:
    """Decoder that knows one rewritten address."""

    def restore(self, forward_path: Address) -> Address | None:
        return parse("eve@elsewhere.test") if forward_path.local.startswith("SRS0=") else None


class ForwardTests(SynchronousTestCase):
    """Alice, Bob and Carol have accounts here."""

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.alice, self.bob, self.carol = (
            self.store.seed_account(f"{name}@home.test") for name in ("alice", "bob", "carol")
        )
        self.router = AliasRouter(self.store.directory, self.store.directory, (), RestoreOne())
        self.away = RemoteRoute(parse("alice@away.test"), forwarded=True)

    def forward(self, account: Account, *targets: str, keeps_copy: bool = True) -> None:
        chosen = [parse(target) for target in targets]
        change = self.store.accounts.set_forward(account.address, chosen, keeps_copy)
        self.successResultOf(Deferred.fromCoroutine(change))

    def alias(self, name: str, *targets: str) -> None:
        change = self.store.directory.set_alias(parse(name), [parse(target) for target in targets])
        self.successResultOf(Deferred.fromCoroutine(change))

    def resolve(self, path: str, sender: str = "") -> tuple[Route, ...]:
        origin = parse(sender) if sender else None
        return self.successResultOf(Deferred.fromCoroutine(self.router.resolve(parse(path), "", origin)))

    def steps(self, path: str) -> Sequence[tuple[str, StepKind]]:
        expansion = self.successResultOf(Deferred.fromCoroutine(self.router.explain(parse(path))))
        return [(str(step.address), step.kind) for step in expansion.steps]

    def owns(self, account: Account, path: str) -> bool:
        return self.successResultOf(Deferred.fromCoroutine(self.router.owns(account, parse(path))))

    def here(self, *accounts: Account) -> tuple[Route, ...]:
        return tuple(LocalRoute(account.account_id) for account in accounts)

    def test_mail_is_forwarded_with_or_without_a_copy(self) -> None:
        """The reverse-path of forwarded mail is rewritten, as behind an alias."""
        self.forward(self.alice, "alice@away.test")
        for path in ("alice@home.test", "alice+x@home.test", "postmaster@home.test"):
            self.assertEqual(self.resolve(path), (*self.here(self.alice), self.away))
        self.forward(self.alice, "alice@away.test", "bob@home.test", keeps_copy=False)
        self.assertEqual(self.resolve("alice@home.test"), (self.away, *self.here(self.bob)))
        self.assertIn(("alice@home.test", StepKind.FORWARD_ONLY), self.steps("alice@home.test"))
        self.forward(self.alice)
        self.assertEqual(self.resolve("alice@home.test"), self.here(self.alice))

    def test_a_forward_behind_an_alias_is_followed(self) -> None:
        """A target that two ways lead to gets one copy."""
        self.forward(self.alice, "alice@away.test", "bob@home.test")
        self.alias("team@home.test", "alice@home.test", "bob@home.test")
        self.assertEqual(self.resolve("team@home.test"), (*self.here(self.alice), self.away, *self.here(self.bob)))

    def test_two_accounts_that_forward_to_each_other_keep_the_mail(self) -> None:
        """Without a copy, the last one of the loop keeps it."""
        self.forward(self.alice, "bob@home.test", keeps_copy=False)
        self.forward(self.bob, "alice@home.test", keeps_copy=False)
        self.assertEqual(self.resolve("alice@home.test"), self.here(self.bob))
        self.assertEqual(self.resolve("bob@home.test"), self.here(self.alice))
        self.assertIn(("bob@home.test", StepKind.KEPT), self.steps("alice@home.test"))
        self.forward(self.bob, "alice@home.test")
        self.assertEqual(self.resolve("alice@home.test"), self.here(self.bob))
        self.forward(self.alice, "alice+x@home.test", keeps_copy=False)
        self.assertEqual(self.resolve("alice@home.test"), self.here(self.alice))

    def test_an_account_whose_targets_are_gone_keeps_its_mail(self) -> None:
        """Mail is not refused because of a forward, also if another recipient was resolved before."""
        self.forward(self.alice, "carol@home.test", keeps_copy=False)
        self.alias("team@home.test", "carol@home.test", "alice@home.test", "bob@home.test")
        remove = self.store.accounts.remove_user(self.carol.address, False)
        self.successResultOf(Deferred.fromCoroutine(remove))
        self.assertEqual(self.resolve("alice@home.test"), self.here(self.alice))
        self.assertEqual(self.resolve("team@home.test"), self.here(self.alice, self.bob))

    def test_mail_that_was_forwarded_before_and_came_back_is_not_forwarded_again(self) -> None:
        """Its reverse-path is one that this system rewrote."""
        self.forward(self.alice, "alice@away.test", keeps_copy=False)
        self.assertEqual(self.resolve("alice@home.test", "eve@away.test"), (self.away,))
        self.assertEqual(self.resolve("alice@home.test", "SRS0=x@home.test"), self.here(self.alice))

    def test_a_forward_gives_no_right_to_send_and_takes_none(self) -> None:
        """An alias gives it."""
        self.forward(self.alice, "bob@home.test", keeps_copy=False)
        self.alias("team@home.test", "alice@home.test")
        for path in ("alice@home.test", "alice+x@home.test", "team@home.test"):
            self.assertTrue(self.owns(self.alice, path), path)
            self.assertFalse(self.owns(self.bob, path), path)
        self.assertFalse(self.owns(self.alice, "bob@home.test"))
        self.assertFalse(self.owns(self.alice, "alice@away.test"))
