"""Signed and encrypted mail: gpg and openssl as programs of their own, and what they found, as values."""
