"""Delivery status notifications: report, text for people, composed message."""
