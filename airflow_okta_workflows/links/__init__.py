"""The extra link to the Workflows console."""
