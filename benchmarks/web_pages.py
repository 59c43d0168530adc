"""How long pages of the web face and calls of the API take with a large maildrop, and with large tables.

python -m benchmarks.web_pages [--messages 100000] [--rows 10000] [--rounds 40]

One client asks for each address in turn, over one connection. A page is whole when its last octet has been read.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import smtplib
import statistics
import time
from collections.abc import Mapping
from http.cookies import SimpleCookie

from benchmarks import flow
from emailsys.control.requests import DomainAddMany, TokenAdd, UserAddMany, WebLogin
from emailsys.interfaces.operators import Scope
from emailsys.mail.address import Address
from emailsys.passwords import make_credentials
from emailsys.tokens import make_token
from tests.live.programs.daemon import DOMAIN, Daemon, User
from tests.ports import free_ports

OCTETS = 4096
RECIPIENTS = 100
ROWS_AT_ONCE = 200


class Client:
    """A client of the web face that keeps its connection and its cookies."""

    def __init__(self, port: int, fields: Mapping[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._cookies: SimpleCookie = SimpleCookie()
        self._fields = fields or {}

    def get(self, path: str) -> str:
        """Return a page, or follow where it leads.

        @raise RuntimeError: the answer is an error.
        """
        for _ in range(5):
            cookies = "; ".join(f"{one.key}={one.coded_value}" for one in self._cookies.values())
            self._connection.request("GET", path, headers={**self._fields, "Cookie": cookies})
            answer = self._connection.getresponse()
            octets = answer.read()
            for value in answer.headers.get_all("Set-Cookie", []):
                self._cookies.load(value)
            if answer.status not in (302, 303):
                if answer.status != 200:
                    raise RuntimeError(f"{path}: {answer.status}")
                return octets.decode()
            path = answer.headers["Location"]
        raise RuntimeError(f"{path}: leads nowhere")


def measure(client: Client, paths: Mapping[str, str], rounds: int) -> float:
    """Ask for each address, print how long it takes, and return the longest p95 in milliseconds."""
    longest = 0.0
    for name, path in paths.items():
        page, took = "", []
        for _ in range(rounds):
            began = time.perf_counter()
            page = client.get(path)
            took.append(1000 * (time.perf_counter() - began))
        ninety_five = statistics.quantiles(took, n=20)[-1]
        longest = max(longest, ninety_five)
        print(
            f"{name:42} {len(page):>9,} characters; p50 {statistics.median(took):6.1f} ms, p95 {ninety_five:6.1f} ms",
            flush=True,
        )
    return longest


def fill_tables(daemon: Daemon, sender: User, rows: int) -> None:
    """Make domains, accounts and queued messages."""
    credentials = make_credentials(sender.password)
    for start in range(0, rows, ROWS_AT_ONCE):
        numbers = range(start, min(start + ROWS_AT_ONCE, rows))
        owner = Address(*sender.address.split("@"))
        daemon.command(DomainAddMany(tuple((f"d{number}.example", owner) for number in numbers)))
        daemon.command(UserAddMany(tuple((Address(f"u{number}", DOMAIN), credentials) for number in numbers)))
    with smtplib.SMTP("127.0.0.1", daemon.ports["submission"], timeout=60) as client:
        client.starttls()
        client.login(sender.address, sender.password)
        for start in range(0, rows, RECIPIENTS):
            recipients = [f"x{number}@h{number}.example" for number in range(start, min(start + RECIPIENTS, rows))]
            client.sendmail(sender.address, recipients, f"From: {sender.address}\nSubject: waits\n\nx\n")


def token(daemon: Daemon, scopes: frozenset[Scope], address: Address | None) -> Mapping[str, str]:
    """Return the header of a request with a new token."""
    made = make_token()
    daemon.command(TokenAdd(made.token_id, made.digest.hex(), scopes, address))
    return {"Authorization": f"Bearer {made.text}"}


def mail_pages(inbox: str) -> Mapping[str, str]:
    """Return the addresses of the pages of an inbox and of its newest message."""
    found = re.search(r'href="(?:/mail/0/)?([0-9A-Za-z]{8,20})/"', inbox)
    older = re.search(r'href="([^"]*before=[^"]*)"', inbox)
    assert found is not None, inbox[:2000]
    assert older is not None, inbox[-2000:]
    message = f"/mail/0/{found[1]}"
    tabs = ("structure", "headers", "journey", "raw")
    return {
        "inbox": "/mail/0/",
        "inbox, the second page": f"/mail/0/{older[1].replace('&amp;', '&')}",
        "search that finds": "/mail/0/?q=benchmark",
        "search that finds nothing": "/mail/0/?q=nothing",
        "search in texts that finds nothing": "/mail/0/?q=nothing&text=1",
        "accounts side by side": "/mail/",
        "compose": "/mail/0/compose",
        "message": f"{message}/",
        **{f"message, {tab}": f"{message}/{tab}" for tab in tabs},
        "message, saved": f"{message}/message.eml",
    }


def main() -> None:
    """Fill, then ask."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=100_000)
    options.add_argument("--rows", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=40)
    given = options.parse_args()
    port = free_ports(1)[0]
    limits = "[sending]\nrecipients_per_hour = 0\nrecipients_per_day = 0\n"
    daemon = Daemon(f'[web]\nlisten = ["127.0.0.1:{port}"]\n[outbound]\nenabled = false\n{limits}')
    try:
        user = daemon.user()
        address = Address(*user.address.split("@"))
        count = given.messages
        flow.flow(daemon.ports["smtp"], [user.address], OCTETS, 50, lambda seen, _: len(seen.latencies) < count)
        fill_tables(daemon, user, given.rows)
        print("filled", flush=True)
        of_accounts = frozenset(scope for scope in Scope if scope.is_of_accounts)
        of_operators = frozenset(Scope) - of_accounts
        mail, operator = Client(port), Client(port)
        inbox = mail.get(daemon.command(WebLogin(address))["path"])
        operator.get(daemon.command(WebLogin())["path"])
        uid = json.loads(Client(port, token(daemon, of_accounts, address)).get("/api/v1/messages"))["items"][0]["id"]
        calls = ("", "?subject=nothing", f"/{uid}", f"/{uid}/raw", f"/{uid}/parts/1")
        pages = ("", "/queue", "/directory", "/routes", "/forecast", "/trace", "/log", "/wire", "/verify")
        tables = ("domains", "users", "queue", "queue/summary", "routes", "status", "log", "wire")
        longest = max(
            measure(client, paths, given.rounds)
            for client, paths in (
                (mail, mail_pages(inbox)),
                (
                    Client(port, token(daemon, of_accounts, address)),
                    {f"GET /messages{call}": f"/api/v1/messages{call}" for call in calls},
                ),
                (operator, {f"/system{page}": f"/system{page}" for page in pages}),
                (
                    Client(port, token(daemon, of_operators, None)),
                    {f"GET /{table}": f"/api/v1/{table}" for table in tables},
                ),
            )
        )
        print(f"the longest p95: {longest:.1f} ms")
    finally:
        daemon.close()


if __name__ == "__main__":
    main()
