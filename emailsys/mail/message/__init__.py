"""The parts of a message: header fields, mailboxes, MIME structure, transfer encodings."""
