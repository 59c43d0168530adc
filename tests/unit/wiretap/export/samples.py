"""Samples for exported pages: a submission with its handshake, a message with pictures, texts that attack."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Final

from emailsys.mail.message.mime import parse
from emailsys.mail.message.structure import Row, structure
from emailsys.wiretap.conversation import Conversation, Direction, Event, Json, Kind, Role
from emailsys.wiretap.export import Block, Dialogue, Prose, Step, Structure, Table, Verdicts, Way
from emailsys.wiretap.verdict import Finding, Verdict

#: Texts that would run in a browser or deceive a reader if a page did not escape them.
PAYLOADS: Final = (
    "<script>document.title='run'</script>",
    "</title></style></svg><script>document.title='run'</script>",
    '"><img src=x onerror="document.title=\'run\'">',
    "' onmouseover='document.title=1' x='",
    "<svg onload=document.title='run'>",
    "<iframe srcdoc=\"<script>parent.document.title='run'</script>\"></iframe>",
    "<a href=\"javascript:document.title='run'\">x</a>",
    "<style>@import 'http://127.0.0.1:9/x';body{background:url(http://127.0.0.1:9/y)}</style>",
    '<link rel=stylesheet href="http://127.0.0.1:9/z"><base href="http://127.0.0.1:9/">',
    '<meta http-equiv=refresh content="0;url=http://127.0.0.1:9/">',
    "]]><!--><script>document.title='run'</script><!--",
    "{{ 7 * 7 }}{% include 'page.html' %}${7*7}#{7*7}",
    "&lt;script&gt;&#60;script&#62;&colon;",
    "\0\x01\x1b[31m\x7f\x9b\u202eevil\u2066\u200b\ufeff\ufffe\U0001ffff\ud800",
    "<" * 40 + "a" * 300_000,
    "é" * 5_000 + "漢" * 5_000,
)

_COMMANDS: Final = {"C": Kind.COMMAND, "S": Kind.REPLY}


def submission(role: Role = Role.CLIENT) -> Conversation:
    """A submission over STARTTLS, with the events of a handshake that a key log opened."""
    out, back = (Direction.OUT, Direction.IN) if role is Role.CLIENT else (Direction.IN, Direction.OUT)
    events: list[Event] = [Event(0.0, Kind.OPENED)]

    def say(text: str, kind: Kind | None = None, octets: int = 0, **details: Json) -> None:
        who, _, line = text.partition(" ")
        direction = {"C": out, "S": back}.get(who)
        found = kind or _COMMANDS[who]
        events.append(
            Event(len(events) * 0.00132, found, line, direction, octets or (len(line) + 2 if direction else 0), details)
        )

    say("S 220 mail.example.org ESMTP emailsys")
    say("C EHLO laptop.example.net")
    for line in ("250-mail.example.org", "250-SIZE 26214400", "250-8BITMIME", "250 STARTTLS"):
        say(f"S {line}")
    say("C STARTTLS")
    say("S 220 2.0.0 ready to start TLS")
    say("C ClientHello", Kind.TLS, 1512, message_octets=1507, versions=["TLS 1.3", "TLS 1.2"], sni="mail.example.org")
    say("S ServerHello", Kind.TLS, 1215, message_octets=1210, suite="TLS_AES_256_GCM_SHA384", group="X25519MLKEM768")
    say("S EncryptedExtensions", Kind.TLS, 28, message_octets=6, encrypted=True)
    say("S Certificate", Kind.TLS, 966, message_octets=966, encrypted=True, certificates=1, sizes=[957])
    say("S CertificateVerify", Kind.TLS, 79, message_octets=79, encrypted=True, signature="ecdsa_secp256r1_sha256")
    say("S Finished", Kind.TLS, 52, message_octets=52, encrypted=True)
    say("C Finished", Kind.TLS, 74, message_octets=52, encrypted=True)
    say(
        "* TLS 1.3, TLS_AES_256_GCM_SHA384, X25519MLKEM768 (post-quantum)",
        Kind.SECURED,
        version="TLS 1.3",
        cipher="TLS_AES_256_GCM_SHA384",
        group="X25519MLKEM768",
        signature="ecdsa_secp256r1_sha256",
        alpn="",
        sni="mail.example.org",
        resumed=False,
        forward_secrecy="yes: X25519MLKEM768 made keys for this connection only",
        post_quantum=True,
        certificates=[
            {
                "subject": "mail.example.org",
                "names": ["DNS:mail.example.org"],
                "issuer": "Example CA",
                "not_before": "2026-11-01T00:00:00Z",
                "not_after": "2027-01-30T00:00:00Z",
                "key": "EC P-256",
                "signature": "ecdsa-with-SHA256",
                "sha256": "9f" * 32,
                "octets": 957,
            }
        ],
    )
    say("C EHLO laptop.example.net")
    for line in ("250-mail.example.org", "250-SIZE 26214400", "250-8BITMIME", "250 AUTH PLAIN LOGIN"):
        say(f"S {line}")
    say("C AUTH PLAIN [masked]")
    say("* alice@example.org", Kind.LOGIN, succeeded=True)
    say("S 235 2.7.0 logged in")
    say("C MAIL FROM:<alice@example.org> SIZE=5938")
    say("S 250 2.1.0 sender OK")
    say("C RCPT TO:<bob@example.com>")
    say("* recipient accepted", Kind.VERDICT)
    say("S 250 2.1.5 recipient OK")
    say("C DATA")
    say("S 354 send the message, end it with a dot on a line by itself")
    say("C ", Kind.BODY, 5941)
    say("* queued as 7Q2M4K", Kind.COMMIT)
    say("S 250 2.0.0 queued as 7Q2M4K")
    say("C QUIT")
    say("S 221 2.0.0 goodbye")
    say("* ", Kind.CLOSED)
    return Conversation(
        "s1",
        "submission",
        role,
        1796000000.25,
        "192.0.2.7:587",
        "198.51.100.3:41822",
        closed=True,
        events=tuple(events),
    )


def newsletter(text: str = "Holiday pictures") -> bytes:
    """A message with HTML that shows a picture, and an attachment."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "alice@example.org", "bob@example.com", "x"
    message.replace_header("Subject", "".join(one for one in text if one.isprintable())[:500] or "x")
    message.set_content("Grüße aus den Bergen.\n" * 20)
    message.add_alternative("<p>Grüße</p><img src='cid:hut@example.org'><img src='cid:lake@example.org'>", "html")
    html = message.get_payload(1)
    assert isinstance(html, EmailMessage)
    html.add_related(bytes(range(256)) * 12, "image", "png", cid="<hut@example.org>", filename="hut.png")
    html.add_related(bytes(range(256)) * 8, "image", "jpeg", cid="<lake@example.org>", filename="lake.jpg")
    message.add_attachment(bytes(range(256)) * 16, "application", "pdf", filename="route.pdf")
    return message.as_bytes()


def poster() -> list[Block]:
    """One block of each kind."""
    return [
        Way(
            "The way of the message",
            (
                Step("Composed", "alice's mail program", "Text, HTML and two pictures became one message."),
                Step("Submitted", "mail.example.org, port 587", "250 2.0.0 queued as 7Q2M4K", "s1", 1796000000.3),
                Step("Queued", "mail.example.org", "It is on disk before the 250 is sent.", at=1796000000.31),
                Step("Relayed", "mx.example.com", "250 2.0.0 accepted", at=1796000000.9),
                Step("Delivered", "bob's maildrop", "", at=1796000001.0),
                Step("Fetched", "bob's mail program", "POP3 over TLS", at=1796000060.0),
            ),
            "Each step with its time.",
        ),
        Dialogue(submission(), "alice submits the message"),
        Structure("The message", structure(parse(newsletter())), (("From", "alice@example.org"), ("Subject", "x"))),
        Verdicts(
            "Verdicts",
            [
                Finding("dates", Verdict.GOOD, "The certificate is valid today.", about="mail.example.org"),
                Finding("versions", Verdict.NOTE, "TLS 1.2 and 1.3 are offered."),
                Finding("key", Verdict.WEAK, "The key has 1024 bits.", "Make a new key of at least 2048 bits."),
                Finding("plaintext login", Verdict.BAD, "AUTH is offered without TLS.", "Offer AUTH only inside TLS."),
                Finding("smuggling", Verdict.UNTESTED, "The test was not asked for."),
            ],
        ),
        Table("Cipher suites", ("suite", "verdict"), [("TLS_AES_256_GCM_SHA384", "good"), ("TLS_RSA_WITH_RC4", "bad")]),
        Prose("What you see", ("A message went from alice to bob.", "Nobody in between could read it.")),
    ]


def hostile(text: str) -> list[Block]:
    """One text in every place where a stranger's text may stand."""
    details: dict[str, Json] = {
        "version": text,
        "certificates": [{"subject": text, "names": [text]}],
        text[:50]: [text],
    }
    events = [
        Event(0.0, Kind.REPLY, text, Direction.IN, 10),
        Event(0.1, Kind.COMMAND, text, Direction.OUT, 10),
        Event(0.2, Kind.COMMAND, f"AUTH {text}", Direction.OUT, 10),
        Event(0.2, Kind.COMMAND, f"MAIL FROM:<x> SIZE={text}", Direction.OUT, 10),
        Event(0.2, Kind.REPLY, f"250-{text}", Direction.IN, 10),
        Event(0.2, Kind.TLS, text, Direction.OUT, 10, details),
        Event(0.3, Kind.SECURED, text, details=details),
        Event(0.4, Kind.VERDICT, text),
        Event(0.4, Kind.BODY, text, Direction.OUT, 10),
    ]
    talk = Conversation(text, text, Role.CLIENT, 1e300, text, text, text, dropped=3, events=tuple(events))
    row = Row(text, 3, text, text, text, 100, 70, 42.9, text, text, (text,), (text,))
    return [
        Prose(text, (text,)),
        Verdicts(text, [Finding(text, Verdict.GOOD, text, text, text)], text),
        Table(text, (text, text), [(text, text)], text),
        Dialogue(talk, text, text),
        Dialogue(talk),
        Structure(text, [row], [(text, text)], text),
        Way(text, [Step(text, text, text, text, 1e300), Step(text, text, text, "nowhere", -1e300)], text),
    ]
