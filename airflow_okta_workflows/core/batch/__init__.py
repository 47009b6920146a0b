"""The items and records of a batch."""
