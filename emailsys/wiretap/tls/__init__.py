"""TLS as it is on the wire: records, handshake messages, what they agree on, and whether a chain is valid.

One observer reads one connection, from the first octet of TLS: at once for implicit TLS, after the reply to STARTTLS
else. Its methods return events for a conversation, in the order of the wire::

    observer = TLSObserver(Role.SERVER)
    context.set_keylog_callback(lambda connection, line: record(observer.key_log(line)))
    record(observer.feed(Direction.IN, octets, at))       # octets from the peer, before they are decrypted
    record(observer.feed(Direction.OUT, octets, at))      # octets to the peer, after they were encrypted
    record(observer.established(at))                      # when the TLS library says that the handshake is complete
    record(observer.finish())                             # when the connection is closed

Each handshake message and alert is an event of `Kind.TLS`: its text is the name of the message, `octets` its size on
the wire with its share of the records. One event of `Kind.SECURED` says what was agreed on: its text is one line, its
details are those of `Handshake.details`. The messages of TLS 1.3 after ServerHello are encrypted. Without the lines of
a key log they are events named `encrypted record`, and `established` has to be called. `observer.handshake` is the
`Handshake` as a value, with the certificates as DER. When `observer.is_over`, there is no need to feed it any more. A
context takes a key log only before its first connection.

`validate` (in `chain`) judges the certificates::

    validation = validate(observer.handshake.certificates, "mx.example.org", datetime.now(UTC), system_anchors())

Its steps are findings of `emailsys.wiretap.verdict`. Nothing here raises because of what a peer sent, and the secrets
of a key log stay in memory until the handshake is over.
"""
