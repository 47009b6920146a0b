"""Requests to flows, their responses, and the rule for sending an invocation again."""
