"""Configuration: settings, and the loader that reads them from TOML."""
