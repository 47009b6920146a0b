"""Operators that invoke flows."""
