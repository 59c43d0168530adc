"""Composition of messages: drafts, replies, attachments, and their encoding as MIME."""
