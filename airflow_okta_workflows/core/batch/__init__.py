"""Batches: items and records."""
