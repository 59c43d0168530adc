The mail client: `emailsys mail` composes, sends, fetches, keeps and searches mail of several accounts, as verbs, full screen, or line by line.
