"""What the mail client talks to, in memory."""
