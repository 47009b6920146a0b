"""Generators of the tables in the pages of docs/."""
