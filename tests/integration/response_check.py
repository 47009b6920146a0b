"""What HttpEventTrigger imports, and reloads, to judge a response."""

from __future__ import annotations


async def satisfied(response: object) -> bool:
    """Take any response."""
    return True
