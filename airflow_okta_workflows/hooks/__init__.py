"""Hooks for Okta Workflows."""
