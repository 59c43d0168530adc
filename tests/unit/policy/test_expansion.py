"""Expansion of aliases: exact address, tag, alias, catch-all; loops are followed once, and each step is recorded."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from emailsys.interfaces import IAliases
from emailsys.mail.address import Address, parse
from emailsys.mail.envelope import LocalRoute, RemoteRoute, Route
from emailsys.policy.expansion import MAX_DEPTH, MAX_TARGETS, AliasRouter, StepKind
from tests.fakes.store.memory_store import MemoryStore


@implementer(IAliases)
class Aliases:
    """Aliases in memory, by address. "@domain" is a catch-all."""

    def __init__(self) -> None:
        self.table: dict[tuple[str, str], list[Address]] = {}

    def add(self, name: str, *targets: str) -> None:
        local, _, domain = name.rpartition("@")
        self.table[local, domain] = [parse(target) for target in targets]

    async def targets(self, local_key: str, domain_key: str) -> Sequence[Address]:
        return self.table.get((local_key, domain_key), ())


class RestoreOne:
    """Decoder that knows one rewritten address."""

    def restore(self, forward_path: Address) -> Address | None:
        return parse("eve@elsewhere.test") if forward_path.local.startswith("SRS0=") else None


class Expanding(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = MemoryStore()
        self.alice = LocalRoute(self.store.seed_account("alice@home.test").account_id)
        self.bob = LocalRoute(self.store.seed_account("bob@home.test").account_id)
        self.aliases = Aliases()
        self.router = AliasRouter(self.store.directory, self.aliases, ["192.0.2.1"], RestoreOne())

    def resolve(self, path: str) -> tuple[Route, ...]:
        return self.successResultOf(Deferred.fromCoroutine(self.router.resolve(parse(path))))

    def steps(self, path: str) -> list[tuple[int, str, StepKind]]:
        expansion = self.successResultOf(Deferred.fromCoroutine(self.router.explain(parse(path))))
        return [(step.depth, str(step.address), step.kind) for step in expansion.steps]

    def test_the_fake_keeps_to_the_interface(self) -> None:
        self.assertTrue(verifyObject(IAliases, self.aliases))

    def test_a_forwarded_route_names_the_alias_without_the_tag(self) -> None:
        """Sending limits count by alias. A tag, or another name of a catch-all, must not be another sender."""
        self.aliases.add("all@home.test", "team@home.test")
        self.aliases.add("team@home.test", "eve@away.test")
        self.aliases.add("@home.test", "mallory@away.test")
        named = [
            route.alias
            for path in ("all@home.test", "ALL+1@home.test", "x@home.test", "eve@away.test")
            for route in self.resolve(path)
            if isinstance(route, RemoteRoute)
        ]
        everyone = Address("all", "home.test")
        self.assertEqual(named, [everyone, everyone, Address("", "home.test"), None])

    def test_an_account_is_hidden_by_no_alias_and_no_catch_all(self) -> None:
        self.aliases.add("alice@home.test", "bob@home.test")
        self.aliases.add("@home.test", "bob@home.test")
        self.assertEqual(self.resolve("alice@home.test"), (self.alice,))
        self.assertEqual(self.resolve("alice+tag@home.test"), (self.alice,))
        self.assertEqual(self.resolve("Alice+X@HOME.test"), (self.alice,))

    def test_an_alias_comes_before_the_catch_all(self) -> None:
        self.aliases.add("team@home.test", "alice@home.test", "carol@away.test")
        self.aliases.add("@home.test", "bob@home.test")
        both = (self.alice, RemoteRoute(parse("carol@away.test"), forwarded=True))
        self.assertEqual(self.resolve("team@home.test"), both)
        self.assertEqual(self.resolve("team+tag@home.test"), both)
        self.assertEqual(self.resolve("anybody@home.test"), (self.bob,))

    def test_a_tagged_alias_of_its_own_comes_before_the_untagged_one(self) -> None:
        self.aliases.add("team+urgent@home.test", "alice@home.test")
        self.aliases.add("team@home.test", "bob@home.test")
        self.assertEqual(self.resolve("team+urgent@home.test"), (self.alice,))

    def test_postmaster_is_found_before_a_catch_all(self) -> None:
        self.aliases.add("@home.test", "bob@home.test")
        self.assertEqual(self.resolve("postmaster@home.test"), (self.alice,))

    def test_a_loop_is_followed_once_and_the_rest_is_delivered(self) -> None:
        self.aliases.add("a@home.test", "b@home.test", "alice@home.test")
        self.aliases.add("b@home.test", "a@home.test", "bob@home.test")
        self.assertEqual(self.resolve("a@home.test"), (self.bob, self.alice))
        self.assertIn((2, "a@home.test", StepKind.LOOP), self.steps("a@home.test"))

    def test_aliases_that_only_point_to_each_other_are_unknown(self) -> None:
        self.aliases.add("a@home.test", "b@home.test")
        self.aliases.add("b@home.test", "a@home.test")
        self.assertEqual(self.resolve("a@home.test"), ())

    def test_a_target_reached_by_two_aliases_gets_one_copy(self) -> None:
        self.aliases.add("all@home.test", "team@home.test", "alice+x@home.test", "alice@home.test", "c@away.test")
        self.aliases.add("team@home.test", "alice@home.test", "c@away.test")
        self.assertEqual(self.resolve("all@home.test"), (self.alice, RemoteRoute(parse("c@away.test"), forwarded=True)))

    def test_a_chain_of_aliases_has_an_end(self) -> None:
        for n in range(MAX_DEPTH + 5):
            self.aliases.add(f"a{n}@home.test", f"a{n + 1}@home.test", "alice@home.test")
        self.assertEqual(self.resolve("a0@home.test"), (self.alice,))
        kinds = [kind for _, _, kind in self.steps("a0@home.test")]
        self.assertIn(StepKind.TOO_DEEP, kinds)
        self.assertLess(len(kinds), 100)

    def test_an_alias_has_a_bounded_number_of_targets(self) -> None:
        self.aliases.add("all@home.test", *(f"user{n}@away.test" for n in range(MAX_TARGETS + 10)))
        self.assertEqual(len(self.resolve("all@home.test")), MAX_TARGETS - 1)

    def test_an_unknown_target_of_an_alias_is_left_out(self) -> None:
        self.aliases.add("team@home.test", "gone@home.test", "alice@home.test")
        self.assertEqual(self.resolve("team@home.test"), (self.alice,))
        self.assertIn((1, "gone@home.test", StepKind.NOBODY), self.steps("team@home.test"))

    def test_an_unknown_address_has_no_routes(self) -> None:
        self.assertEqual(self.resolve("gone@home.test"), ())
        self.assertEqual(self.steps("gone@home.test"), [(0, "gone@home.test", StepKind.NOBODY)])

    def test_mail_for_elsewhere_is_not_forwarded_mail(self) -> None:
        self.assertEqual(self.resolve("carol@away.test"), (RemoteRoute(parse("carol@away.test")),))

    def test_a_rewritten_sender_is_turned_back(self) -> None:
        self.assertEqual(self.resolve("SRS0=x@home.test"), (RemoteRoute(parse("eve@elsewhere.test")),))
        self.assertEqual(self.steps("SRS0=x@home.test"), [(0, "SRS0=x@home.test", StepKind.RESTORED)])

    def test_without_srs_such_an_address_is_one_like_others(self) -> None:
        self.router = AliasRouter(self.store.directory, self.aliases)
        self.assertEqual(self.resolve("SRS0=x@home.test"), ())

    def test_an_address_literal_of_ours_is_the_default_domain(self) -> None:
        self.assertEqual(self.resolve("alice@[192.0.2.1]"), (self.alice,))
        self.assertEqual([kind for _, _, kind in self.steps("alice@[192.0.2.1]")], [StepKind.LITERAL, StepKind.EXACT])

    def test_a_name_without_domain_is_unknown(self) -> None:
        routes = self.successResultOf(Deferred.fromCoroutine(self.router.resolve(Address("carol", ""))))
        self.assertEqual(routes, ())

    def test_steps_read_as_sentences(self) -> None:
        self.aliases.add("team@home.test", "alice@home.test", "carol@away.test")
        expansion = self.successResultOf(Deferred.fromCoroutine(self.router.explain(parse("team@home.test"))))
        self.assertEqual(
            [str(step) for step in expansion.steps],
            [
                "team@home.test is an alias for alice@home.test, carol@away.test",
                "alice@home.test is the address of alice@home.test",
                "carol@away.test belongs to another system",
            ],
        )
