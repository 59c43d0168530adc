"""Accounts of the mail client: where mail is fetched and sent, by which login, how settings are found and tried."""
