"""Foundation of the web face: HTTP with limits, sessions, forms, templates, static files and login."""
