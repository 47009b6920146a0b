"""The token endpoint: client assertions, requests, access tokens."""
