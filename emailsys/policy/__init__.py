"""Policy: who may log in, send and relay, and where mail goes. No protocol text."""
