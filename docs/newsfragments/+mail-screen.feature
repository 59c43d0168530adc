Mail client: a full screen with the keys of mutt, folders, conversations, several messages at once, and drafts that survive a crash.
