"""The token endpoint: client assertions, token requests, access tokens."""
