"""A mail system: SMTP in, a durable store, POP3 out."""

import sys

# The package and its entry points parse on old Pythons, so that this line is seen and not a traceback.
if sys.version_info < (3, 11):  # noqa: UP036 -- pip checks it, a copied or mounted folder does not
    sys.exit("emailsys needs Python 3.11 or newer; this is Python {}.{}.".format(*sys.version_info[:2]))

from typing import Final

__version__: Final = "0.1.0"
