"""Mail in a browser: lists, messages, attachments, composing and deleting."""
