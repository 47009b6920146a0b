"""Private keys: formats, generation and signing."""
