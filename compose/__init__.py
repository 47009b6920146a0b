"""Helpers of docker-compose.yaml: its settings, and the script of one of its services."""
