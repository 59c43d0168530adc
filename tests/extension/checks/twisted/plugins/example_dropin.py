"""The same check, offered by twisted.plugin."""

from emailsys.extension import CheckPlugin

dropin = CheckPlugin("dropin", "example_checks.Words")
