"""Checks of a release (``make release-check``), and its first step (``python -m release.cut``)."""
