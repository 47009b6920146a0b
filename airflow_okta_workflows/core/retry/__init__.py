"""Retries and rate limits: how long to wait, and how fast to send."""
