"""Operations for mail: send, list, search, read, wait and delete."""

from __future__ import annotations

import base64
import json
from typing import Any

from twisted.internet.defer import Deferred

from emailsys.mail.message.mime import parse, parse_header
from emailsys.web.api import message_values
from emailsys.web.api.message_search import Conditions
from emailsys.web.api.operation import Result
from emailsys.web.api.table import BASE, Asked
from tests.unit.web.api.api_case import ANN, BOB, IP, RAW, MailCase


class HeadTests(MailCase):
    def test_a_message_that_raises_an_exception_keeps_no_others_from_being_listed(self) -> None:
        real = parse_header
        self.patch(message_values, "parse_header", lambda octets: real(octets) if b"BOOM" not in octets else 1 // 0)
        for subject in ("one", "BOOM", "two"):
            self.put(f"Subject: {subject}\r\n\r\nx\r\n".encode())
        lists = [self.fine("GET", "/messages", token="bob")["items"] for _ in range(2)]
        for items in lists:
            self.assertEqual([one["subject"] for one in items], ["two", "", "one"])
        found = self.fine("GET", "/messages", token="bob", text="x")["items"]
        self.assertEqual([one["subject"] for one in found], ["two", "one"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        raw = self.ask("GET", f"/messages/{lists[0][1]['id']}/raw", token="bob")
        self.assertIn(b"BOOM", self.octets_of(raw))

    def test_a_list_keeps_header_sections_and_no_bodies(self) -> None:
        """A stranger could fill the memory with large messages whose header sections are a little long."""
        kept: list[int] = []
        real = Conditions.summary_if_met

        def noted(conditions: Conditions, octets: bytes, row: Any) -> Any:
            kept.append(len(octets))
            return real(conditions, octets, row)

        self.patch(Conditions, "summary_if_met", noted)
        head = b"X-Long: " + b"x" * 900 + b"\r\n"
        self.put(head * 20 + b"Subject: long\r\n\r\n" + b"body\r\n" * 100_000)
        self.assertEqual(self.newest()["subject"], "long")
        self.assertLess(max(kept), 20_000)


class SendTests(MailCase):
    def test_a_message_of_text_html_and_attachments_arrives(self) -> None:
        content = base64.b64encode(b"\x00\x01PDF").decode()
        answer = self.sent(
            subject="Grüße ☃",
            text="Hello",
            html='<p>Hello <img src="cid:a"></p>',
            cc=[{"address": "ann@example.test", "name": "Ann, the first"}],
            attachments=[
                {"name": "é.pdf", "content": content, "content_type": "application/pdf"},
                {"name": "a.png", "content": content, "content_type": "image/png", "content_id": "a"},
            ],
            headers={"X-Campaign": "autumn"},
        )
        found = self.newest()
        self.assertEqual((found["subject"], found["queue_id"]), ("Grüße ☃", answer["queue_id"]))
        self.assertEqual(found["message_id"], answer["message_id"])
        self.assertEqual(found["from"], [{"name": "", "address": "ann@example.test"}])
        self.assertEqual(found["cc"], [{"name": "Ann, the first", "address": "ann@example.test"}])
        whole = self.fine("GET", f"/messages/{found['id']}", token="bob")
        self.assertEqual(whole["text"].strip(), "Hello")
        self.assertIn("cid:a", whole["html"])
        self.assertIn({"name": "X-Campaign", "value": "autumn"}, whole["headers"])
        received = whole["headers"][2]
        self.assertEqual(received["name"], "Received")
        self.assertIn("with HTTP", received["value"])
        part = next(one for one in whole["parts"] if one["name"] == "é.pdf")
        self.assertIn(part["number"], whole["attachments"])
        result = self.ask("GET", f"/messages/{found['id']}/parts/{part['number']}", token="bob")
        self.assertEqual((result.content, result.content_type), (b"\x00\x01PDF", "application/octet-stream"))
        self.assertIn(("X-Content-Type-Options", "nosniff"), result.headers)

    def test_a_complete_message_is_sent_as_it_is(self) -> None:
        octets = b"From: ann@example.test\nSubject: raw\n\nline\n.\n"
        answer = self.send(octets, content_type=RAW, to=["bob@example.test", "ann@example.test"])
        self.assertEqual(answer.status, 202, answer.content)
        found = self.newest()
        raw = self.octets_of(self.ask("GET", f"/messages/{found['id']}/raw", token="bob"))
        self.assertTrue(raw.endswith(b"\r\n\r\nline\r\n.\r\n"))
        self.assertIn(b"Message-ID: ", raw)
        self.assertIsNotNone(self.newest("ann"))

    def test_a_repeated_request_with_its_key_sends_once(self) -> None:
        """The key is a header field. Another message with the same key is refused, and so is an odd key."""
        body = {"to": [{"address": str(BOB)}], "subject": "hello"}
        raw = b"From: ann@example.test\r\n\r\nhello\r\n"

        def ask(key: str, body: Any, kind: str = "application/json", query: str = "") -> Result:
            octets = body if isinstance(body, bytes) else json.dumps(body).encode()
            fields = {"authorization": f"Bearer {self.tokens['ann']}", "content-type": kind, "idempotency-key": key}
            return self.result_of(Asked("POST", f"{BASE}/messages", query, fields, octets, IP))

        first, again = ask("k-1", body), ask("k-1", body)
        self.assertEqual((first.status, first.content), (202, again.content))
        self.problem(422, "idempotency-key-reused", ask("k-1", {**body, "subject": "other"}))
        self.assertNotEqual(ask("k-2", body).content, first.content)
        for _ in range(2):
            self.assertEqual(ask("k-3", raw, "message/rfc822", "to=bob%40example.test").status, 202)
        self.problem(422, "idempotency-key-reused", ask("k-3", raw, "message/rfc822", "to=ann%40example.test"))
        for key in ("", "x" * 256):
            self.problem(422, "invalid", ask(key, body))
        self.assertEqual(len(self.store.messages), 3)

    def test_bcc_recipients_get_it_and_nobody_sees_them(self) -> None:
        self.sent(bcc=[{"address": "ann@example.test"}], text="x")
        for token in ("ann", "bob"):
            raw = self.octets_of(self.ask("GET", f"/messages/{self.newest(token)['id']}/raw", token=token))
            self.assertNotIn(b"Bcc", raw)

    def test_another_sender_is_refused_and_nothing_is_sent(self) -> None:
        for body in ({"from": {"address": "bob@example.test"}}, {"from": {"address": "x@elsewhere.example"}}):
            problem = self.problem(422, "not-accepted", self.send({"to": [{"address": "bob@example.test"}], **body}))
            self.assertIn("not yours", problem["errors"][0]["detail"])
        forged = b"From: bob@example.test\r\n\r\nx\r\n"
        self.problem(422, "not-accepted", self.send(forged, content_type=RAW, to="bob@example.test"))
        asked = {"to": "bob@example.test", "from": "bob@example.test"}
        self.problem(422, "not-accepted", self.send(b"From: ann@example.test\r\n\r\n", content_type=RAW, **asked))
        self.assertEqual((self.store.messages, self.newest()), ([], None))

    def test_a_message_is_accepted_for_all_recipients_or_for_none(self) -> None:
        body = {"to": [{"address": "bob@example.test"}, {"address": "nobody@example.test"}], "text": "x"}
        problem = self.problem(422, "not-accepted", self.send(body))
        self.assertEqual(
            problem["errors"], [{"pointer": "nobody@example.test", "detail": "550 5.1.1 no such mailbox here"}]
        )
        self.assertEqual(self.store.messages, [])

    def test_mail_for_others_goes_to_the_queue(self) -> None:
        self.sent(to=[{"address": "zoe@elsewhere.example"}], text="x")
        (row,) = self.fine("GET", "/queue")["items"]
        self.assertEqual((row["recipient"], row["sender"]), ("zoe@elsewhere.example", "ann@example.test"))

    def test_no_value_adds_a_header_field(self) -> None:
        evil = "x\r\nBcc: eve@example.test\r\n\r\nbody"
        self.sent(subject=evil, text="x", to=[{"address": "bob@example.test", "name": evil}])
        self.sent(text="x", attachments=[{"name": evil[:200], "content": "eA=="}])
        self.sent(text="x", headers={"X-A": evil})
        for stored in self.store.messages:
            part = parse(stored.body)
            names = {field.name.lower() for one in part.walk() for field in one.fields}
            self.assertNotIn("bcc", names)
        for body in (
            {"headers": {"X-A\r\nBcc": "eve@example.test"}},
            {"headers": {"Bcc": "eve@example.test"}},
            {"headers": {"Received": "x"}},
            {"in_reply_to": "a>\r\nBcc: x"},
            {"attachments": [{"name": "a", "content": "not base64"}]},
            {"attachments": [{"name": "a", "content": "eA==", "content_id": "a>\r\nBcc: x"}], "html": "<p>"},
        ):
            self.problem(422, "invalid", self.send({"to": [{"address": "bob@example.test"}], **body}))

    def test_a_message_without_recipients_or_text_is_answered(self) -> None:
        self.problem(422, "invalid", self.send({"text": "x"}))
        self.problem(422, "invalid", self.send(b"From: ann@example.test\r\n\r\n", content_type=RAW))
        self.sent()
        self.assertEqual(self.newest()["subject"], "")

    def test_a_message_with_a_nul_or_too_many_received_fields_is_refused(self) -> None:
        loop = b"Received: x\r\n" * 200 + b"From: ann@example.test\r\n\r\nx\r\n"
        self.problem(422, "not-accepted", self.send(loop, content_type=RAW, to="bob@example.test"))
        nul = b"From: ann@example.test\r\n\r\na\0b\r\n"
        self.problem(422, "not-accepted", self.send(nul, content_type=RAW, to="zoe@elsewhere.example"))
        head = b"From: ann@example.test\r\nX: " + b"a" * 400_000 + b"\r\n\r\n"
        self.problem(422, "not-accepted", self.send(head, content_type=RAW, to="bob@example.test"))
        self.assertEqual(self.store.messages, [])
        self.assertEqual(self.store.abandoned, 2)

    def test_a_full_disk_and_a_failed_store_are_told_apart_from_refusals(self) -> None:
        self.store.room = False
        result = self.send({"to": [{"address": "bob@example.test"}]})
        self.problem(503, "not-accepted-now", result)
        self.assertIn("Retry-After", dict(result.headers))

    def test_a_disabled_account_sends_nothing(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.store.accounts.set_enabled(ANN, False)))
        self.problem(401, "invalid-token", self.send({"to": [{"address": "bob@example.test"}]}))


class ReadTests(MailCase):
    def fill(self, count: int) -> None:
        for number in range(count):
            self.put(
                f"From: Ann {number} <ann@example.test>\r\nSubject: number {number}\r\n\r\ntext {number}\r\n".encode()
            )

    def test_messages_come_in_pages_in_both_orders(self) -> None:
        self.fill(7)
        for order in ("newest", "oldest"):
            seen: list[str] = []
            cursor: dict[str, str] = {}
            while True:
                found = self.fine("GET", "/messages", token="bob", limit=3, order=order, **cursor)
                seen += [one["subject"] for one in found["items"]]
                if found["next"] is None:
                    break
                cursor = {"cursor": found["next"]}
            expected = [f"number {number}" for number in range(7)]
            self.assertEqual(seen, expected if order == "oldest" else expected[::-1])
        self.assertEqual(self.fine("GET", "/messages", token="ann"), {"items": [], "next": None})

    def test_a_search_finds_what_meets_all_conditions(self) -> None:
        self.fill(250)
        self.put(b"From: x@example.org\r\nTo: Bob <bob@example.test>\r\nMessage-ID: <id@x>\r\n\r\nSchl\xc3\xbcssel\r\n")
        found = self.fine("GET", "/messages", token="bob", subject="NUMBER 7", from_="ann", limit=100)
        self.assertEqual(len(found["items"]), 11)
        self.assertEqual(self.newest(text="schlüssel")["message_id"], "id@x")
        self.assertEqual(self.newest(message_id="<id@x>", to="BOB@")["message_id"], "id@x")
        for query in ({"subject": "nothing"}, {"text": "nothing"}, {"until": "2000-01-01T00:00:00Z"}, {"to": "zoe"}):
            self.assertEqual(self.fine("GET", "/messages", token="bob", **query), {"items": [], "next": None})
        self.assertIsNotNone(self.newest(since="2000-01-01T00:00:00+02:00"))
        self.problem(422, "invalid", self.ask("GET", "/messages", token="bob", since="yesterday"))
        self.problem(422, "invalid", self.ask("GET", "/messages", token="bob", since="2026-01-01T00:00:00"))

    def test_the_messages_of_another_account_do_not_exist(self) -> None:
        self.fill(1)
        uid = self.newest()["id"]
        for method, path in (
            ("GET", f"/messages/{uid}"),
            ("GET", f"/messages/{uid}/raw"),
            ("GET", f"/messages/{uid}/parts/1"),
            ("DELETE", f"/messages/{uid}"),
        ):
            self.problem(404, "not-found", self.ask(method, path, token="ann"))
        self.assertIsNotNone(self.newest())

    def test_a_message_is_deleted_once(self) -> None:
        self.fill(1)
        path = f"/messages/{self.newest()['id']}"
        self.assertIsNone(self.fine("DELETE", path, token="bob"))
        for method in ("DELETE", "GET"):
            self.problem(404, "not-found", self.ask(method, path, token="bob"))

    def test_a_pop3_session_keeps_nobody_from_reading_but_from_deleting(self) -> None:
        self.fill(1)
        opened = self.successResultOf(Deferred.fromCoroutine(self.store.maildrops.open(self.bob.account_id)))
        found = self.newest()
        self.fine("GET", f"/messages/{found['id']}", token="bob")
        result = self.ask("DELETE", f"/messages/{found['id']}", token="bob")
        self.problem(409, "in-use", result)
        opened.release()
        self.fine("DELETE", f"/messages/{found['id']}", token="bob")

    def test_hostile_messages_are_values_within_limits(self) -> None:
        hostile = (
            b"",
            b"\xff\xfe\x00",
            b"Subject: =?utf-8?b?////?=\r\nFrom: " + b"a" * 100_000 + b"\r\n\r\n",
            b"Subject: \xed\xa0\x80<script>alert(1)</script>\r\n\r\n",
            b"To: "
            + b"a@b.example," * 5000
            + b"\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n"
            + b"--a\r\n\r\n" * 3000,
            b"X: y\r\n" * 5000 + b"\r\n",
            b"Date: Fri, 99 Foo 99999 99:99:99 +9999\r\nMessage-ID: <>\r\nIn-Reply-To: <<<>>>\r\n\r\n",
        )
        for octets in hostile:
            self.put(octets)
        items = self.fine("GET", "/messages", token="bob")["items"]
        self.assertEqual(len(items), len(hostile))
        for one in items:
            json.dumps(self.fine("GET", f"/messages/{one['id']}", token="bob")).encode("ascii")
            self.fine("GET", f"/messages/{one['id']}/parts/1", token="bob") if one["octets"] < 100 else None
        self.problem(404, "not-found", self.ask("GET", f"/messages/{items[0]['id']}/parts/9.9", token="bob"))
        self.problem(404, "not-found", self.ask("GET", "/messages/..%2f..", token="bob"))

    def test_a_file_name_of_a_stranger_cannot_leave_its_header_field(self) -> None:
        self.put(
            b"Content-Type: text/html\r\n"
            b'Content-Disposition: attachment; filename="a\\"; b=../../x\xc3\xa9.html"\r\n\r\n<p>'
        )
        result = self.ask("GET", f"/messages/{self.newest()['id']}/parts/1", token="bob")
        self.assertRegex(dict(result.headers)["Content-Disposition"], r'\Aattachment; filename="[A-Za-z0-9._-]+"\Z')
        self.assertEqual(result.content_type, "application/octet-stream")


class WaitTests(MailCase):
    def start(self, token: str = "bob", **query: Any) -> Deferred[Result]:
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        headers = {"authorization": f"Bearer {self.tokens[token]}"}
        return Deferred.fromCoroutine(self.table.answer(Asked("GET", f"{BASE}/messages/wait", asked, headers, b"", "")))

    def test_a_message_that_is_there_is_returned_at_once(self) -> None:
        self.put(b"Subject: here\r\n\r\n")
        found = self.successResultOf(self.start()).content
        self.assertEqual(found["message"]["subject"], "here")

    def test_a_message_that_arrives_ends_the_wait(self) -> None:
        waiting = self.start(subject="code", timeout=60)
        self.store.clock.pump([0.5] * 20)
        self.put(b"Subject: other\r\n\r\n")
        self.store.clock.pump([0.5] * 20)
        self.assertNoResult(waiting)
        self.put(b"Subject: Your code\r\n\r\n")
        self.store.clock.advance(1.0)
        found = self.successResultOf(waiting).content
        self.assertEqual(found["message"]["subject"], "Your code")
        self.assertIsNone(self.successResultOf(self.start(after=found["next"], timeout=0)).content["message"])

    def test_a_look_at_a_large_maildrop_does_not_outlast_the_wait(self) -> None:
        """Here a message takes a second. `next` leads to the rest."""
        for number in range(9):
            self.put(b"Subject: %d\r\n\r\ntext\r\n" % number)
        real = Conditions.summary_if_met

        def slow(conditions: Conditions, octets: bytes, row: Any) -> Any:
            self.store.clock.advance(1)
            return real(conditions, octets, row)

        self.patch(Conditions, "summary_if_met", slow)
        began = self.store.clock.seconds()
        first = self.successResultOf(self.start(text="nothing", timeout=3)).content
        self.assertIsNone(first["message"])
        self.assertLess(self.store.clock.seconds() - began, 5)
        second = self.fine("GET", "/messages/wait", token="bob", subject="8", timeout=0, after=first["next"])
        self.assertEqual(second["message"]["subject"], "8")

    def test_the_wait_has_an_end(self) -> None:
        waiting = self.start(timeout=5)
        self.store.clock.pump([0.5] * 9)
        self.assertNoResult(waiting)
        self.store.clock.advance(1)
        self.assertIsNone(self.successResultOf(waiting).content["message"])

    def test_the_number_of_those_that_wait_is_bounded(self) -> None:
        waiting = [self.start(timeout=120) for _ in range(10)]
        self.problem(429, "too-many-waiting", self.successResultOf(self.start(timeout=120)))
        other = self.start("ann", timeout=120)
        self.assertNoResult(other)
        for one in waiting[:5]:
            one.cancel()
            self.failureResultOf(one)
        self.assertNoResult(self.start(timeout=120))
        self.assertEqual(len(self.store.clock.getDelayedCalls()), 7)


del MailCase
