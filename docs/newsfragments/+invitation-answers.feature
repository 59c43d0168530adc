Mail client: `I` and `emailsys mail invite KEY accept`, `tentative` or `decline` answer an invitation by mail to its organiser (iTIP), after a question that names later updates and cancellations.
