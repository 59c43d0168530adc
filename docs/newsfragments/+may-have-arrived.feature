If a program or a connection ends between the last octets of a message and the server's reply,
`outbox` says `may have arrived`, and `outbox send` asks before it sends the message again;
`--again` sends it without asking. Of two `outbox send` at once, each knows what the other has sent.
