"""The full-screen mail program, on Textual."""
