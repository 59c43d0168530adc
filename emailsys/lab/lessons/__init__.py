"""The lessons, one subject in each module. A new module with `LESSONS` adds to the table; nothing else changes."""
