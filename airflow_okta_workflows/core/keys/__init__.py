"""Private keys: their forms, their generation, and signing."""
