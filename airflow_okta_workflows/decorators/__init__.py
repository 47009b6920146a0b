"""TaskFlow decorators for Okta Workflows."""
