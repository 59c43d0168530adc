"""Programs and daemons that live tests start, and how they are spoken to."""
