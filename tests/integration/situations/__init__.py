"""Situations that people meet, by kind: what is done with what they have, for tests and docs/troubleshooting.md."""
