`emailsys mail snooze` and `Z` put messages out of sight until a time; `spam` and `!` move them to Spam, with a rule for later ones.
