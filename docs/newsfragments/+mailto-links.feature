A mailto: link in a message opens our own composer, not the program of the system: `U` in the full screen, and
`emailsys mail open KEY NUMBER`.
