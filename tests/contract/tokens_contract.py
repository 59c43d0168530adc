"""Contract of every store: access tokens of the HTTP API."""

from __future__ import annotations

from datetime import UTC, datetime

from zope.interface.verify import verifyObject

from emailsys.interfaces.operators import MAX_TOKENS, AdminError, ITokens, Scope, TokenRequest
from emailsys.mail.address import Address
from tests.contract.mail import ALICE, BOB, MailCase

READ = frozenset({Scope.MAIL_READ, Scope.MAIL_SEND})
SYSTEM = frozenset({Scope.SYSTEM_READ})
END = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def token(number: int, address: Address | None = ALICE, scopes: frozenset[Scope] = READ) -> TokenRequest:
    return TokenRequest(f"{number:012x}", bytes([number]) * 32, address, scopes, "for a test", END)


class TokensContract(MailCase):
    """Access tokens."""

    async def test_the_store_implements_the_interface(self) -> None:
        verifyObject(ITokens, self.store.tokens)

    async def test_a_token_is_found_by_its_id_with_all_that_was_said_of_it(self) -> None:
        alice, _ = await self.users()
        made = await self.store.tokens.add(token(1))
        self.assertEqual((made.account_id, made.address, made.scopes), (alice.account_id, ALICE, READ))
        self.assertEqual((made.label, made.expires_at, made.is_enabled), ("for a test", END, True))
        self.assertEqual(await self.store.tokens.find(made.token_id), (made, b"\1" * 32))
        self.assertIsNone(await self.store.tokens.find("f" * 12))
        operators = await self.store.tokens.add(TokenRequest("2" * 12, b"x" * 32, None, SYSTEM))
        self.assertEqual((operators.address, operators.account_id, operators.expires_at), (None, None, None))
        self.assertTrue(operators.is_enabled)

    async def test_tokens_are_listed_by_account_or_all(self) -> None:
        await self.users()
        for number, address in ((3, ALICE), (2, BOB), (1, ALICE)):
            await self.store.tokens.add(token(number, address))
        await self.store.tokens.add(token(9, None, SYSTEM))
        ids = {row.token_id for row in await self.store.tokens.list_tokens()}
        self.assertEqual(ids, {f"{number:012x}" for number in (1, 2, 3, 9)})
        self.assertEqual({row.address for row in await self.store.tokens.list_tokens(ALICE)}, {ALICE})
        self.assertEqual(len(await self.store.tokens.list_tokens(ALICE)), 2)
        await self.refused(AdminError, self.store.tokens.list_tokens(Address("zoe", "example.test")))

    async def test_a_removed_token_is_not_found(self) -> None:
        await self.users()
        made = await self.store.tokens.add(token(1))
        self.assertEqual(await self.store.tokens.remove(made.token_id), made)
        self.assertIsNone(await self.store.tokens.find(made.token_id))
        await self.refused(AdminError, self.store.tokens.remove(made.token_id))

    async def test_a_token_shows_that_its_account_is_disabled_and_ends_with_it(self) -> None:
        await self.users()
        made = await self.store.tokens.add(token(1, BOB))
        await self.store.accounts.set_enabled(BOB, False)
        found = await self.store.tokens.find(made.token_id)
        self.assertFalse(found[0].is_enabled)
        await self.store.accounts.remove_user(BOB, True)
        self.assertIsNone(await self.store.tokens.find(made.token_id))
        self.assertEqual(await self.store.tokens.list_tokens(), [])

    async def test_a_token_without_account_scopes_or_room_is_refused(self) -> None:
        await self.users()
        add = self.store.tokens.add
        for wrong in (
            token(1, Address("zoe", "example.test")),
            token(1, ALICE, frozenset()),
            token(1, ALICE, SYSTEM),
            token(1, ALICE, SYSTEM | READ),
            token(1, None, READ),
        ):
            await self.refused(AdminError, add(wrong))
        await add(token(1))
        await self.refused(AdminError, add(token(1, BOB)))
        for number in range(2, MAX_TOKENS + 1):
            await add(token(number))
        await self.refused(AdminError, add(token(200)))
        await add(token(201, BOB))
