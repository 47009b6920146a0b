"""The extra link."""
