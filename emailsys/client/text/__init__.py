"""Text from untrusted senders made safe: for a terminal, as file names, out of HTML."""
