In the full screen, `o` sorts the list by date, sender, subject or size and shows conversations as trees, `x` and `X`
collapse them, `+` saves a search as a virtual folder, and `All inboxes` lists the mail of all accounts. `*` reaches the
last message of any folder. On narrow terminals the list has no horizontal bar.
