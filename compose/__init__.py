"""What docker-compose.yaml needs besides: its settings, and the script of a service."""
