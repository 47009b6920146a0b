"""Sensor for long-running flows."""
