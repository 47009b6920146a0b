"""Triggers that poll or invoke flows."""
