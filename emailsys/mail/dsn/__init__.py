"""Delivery status notifications: the report, its text, the composed message."""
