`emailsys mail send --at "monday 9:00"` sends at a time, `bounce` sends a message on unchanged, `reply --list` and `L`
answer a mailing list, `unsubscribe` leaves one, and `outbox send --watch` sends each message when it is due.
