"""Rules: which fetched messages go into which folder, and how they are marked."""
