"""Run the console program: `python -m emailsys`."""

from __future__ import annotations

from emailsys.cli.main import main

if __name__ == "__main__":
    main()
