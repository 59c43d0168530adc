"""Full-screen mail client, built on Textual."""
