In the full screen of `emailsys mail`, `b` sends a message on, `Q` leaves its mailing list, `S` moves it to Spam with a
rule for its senders, and `A` opens the contact book. `s` can move to a new folder, and `F5` saves a template.
