"""A mail system: SMTP in, a durable store, POP3 out."""

from typing import Final

__version__: Final = "0.1.0"
