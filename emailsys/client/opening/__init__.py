"""Opening: links, HTML and attachments of a message in other programs, only when the user asks."""
