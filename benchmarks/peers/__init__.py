"""Peers of the comparison that need more code than a call into a library."""
