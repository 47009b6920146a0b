"""Flows: what is sent to one, what a response means, and when an invocation may be sent again."""
