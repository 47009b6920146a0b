"""What stands for Airflow's task state store in the simulation."""

from __future__ import annotations

import json
from typing import Any


class CountingStore(dict[str, Any]):
    """Stand for the task state store: keep what it is given, and count.

    It is a dictionary of the last value by key.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gets = self.sets = 0

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value.

        :param key: its key
        :param default: what is returned if there is none
        """
        self.gets += 1
        return super().get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Keep a value, as the JSON that it is sent as.

        :param key: its key
        :param value: the value
        """
        self.sets += 1
        self[key] = json.dumps(value)

    @property
    def bytes(self) -> int:
        """Return the size of all values together."""
        return sum(len(value) for value in self.values())
