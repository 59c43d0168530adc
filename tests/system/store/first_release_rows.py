"""Rows as release 0.1 writes them."""

from __future__ import annotations

from typing import Any

# What release 0.1 writes: a domain with an account, two messages, a maildrop and a queue row.
FIRST_ROWS: list[tuple[str, dict[str, Any]]] = [
    ("INSERT INTO domains (domain_id, domain_key, name) VALUES (1, 'example.test', 'example.test')", {}),
    (
        "INSERT INTO accounts (account_id, domain_id, local_key, local, domain, enabled)"
        " VALUES (2, 1, 'alice', 'alice', 'example.test', :yes)",
        {"yes": True},
    ),
    ("INSERT INTO credentials (account_id, scheme, secret) VALUES (2, 'argon2id', 'x')", {}),
    *(
        (
            "INSERT INTO addresses (domain_id, local_key, account_id, target_local, target_domain, target_local_key,"
            f" target_domain_key) VALUES (1, '{name}', 2, 'alice', 'example.test', 'alice', 'example.test')",
            {},
        )
        for name in ("alice", "postmaster", "abuse")
    ),
    *(
        entry
        for number in (5, 6)
        for entry in (
            (
                "INSERT INTO bodies (body_id, dots, content) VALUES (:id, :no, :content)",
                {"id": number, "no": False, "content": b"hello"},
            ),
            (
                "INSERT INTO messages (message_id, reverse_local, reverse_domain, arrived_at, octets, pieces,"
                " body_type, smtputf8) VALUES (:id, 'carol', 'example.org', 7, 5, 1, '7BIT', :no)",
                {"id": number, "no": False},
            ),
            (
                "INSERT INTO maildrop (account_id, row_id, message_id, octets, smtputf8, prefix)"
                " VALUES (2, :row, :id, 6, :no, :prefix)",
                {"row": number + 10, "id": number, "no": False, "prefix": b"P"},
            ),
        )
    ),
    (
        "INSERT INTO queue (row_id, message_id, forward_local, forward_domain, state, due_at, attempts)"
        " VALUES (17, 5, 'dave', 'example.net', 'waiting', 7, 3)",
        {},
    ),
    ("INSERT INTO commits (node, writer, last_id) VALUES (900, 0, 17)", {}),
    ("INSERT INTO reclaim (row_id, message_id) VALUES (4, 4)", {}),
]


LATER_ROWS: list[tuple[str, dict[str, Any]]] = [
    (
        "INSERT INTO bodies (body_id, dots, content) VALUES (7, :no, :content)",
        {"no": False, "content": b"hello"},
    ),
    (
        "INSERT INTO messages (message_id, arrived_at, octets, pieces, body_type, smtputf8)"
        " VALUES (7, 8, 5, 1, '7BIT', :no)",
        {"no": False},
    ),
    (
        "INSERT INTO queue (row_id, message_id, forward_local, forward_domain, state, due_at, attempts)"
        " VALUES (18, 7, 'erin', 'example.net', 'waiting', 8, 0)",
        {},
    ),
]
