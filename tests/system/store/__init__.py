"""The whole store: faults, crashes, upgrades, both engines."""
