The record of an outbound connection names the SHA-256 of each message that the other host has taken.
