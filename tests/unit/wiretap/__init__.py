"""The wiretap: recording, explaining and exporting conversations."""
