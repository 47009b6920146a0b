"""Substitute for Airflow's task state store in the simulation."""

from __future__ import annotations

import json
from typing import Any


class CountingStore(dict[str, Any]):
    """Task state store in memory that counts its calls; as a dictionary it has the last value of each key, as JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.gets = self.sets = 0

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value.

        :param key: its key
        :param default: returned if there is no value
        """
        self.gets += 1
        return super().get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Store a value as a JSON string, the form in which Airflow sends it.

        :param key: its key
        :param value: the value
        """
        self.sets += 1
        self[key] = json.dumps(value)

    @property
    def bytes(self) -> int:
        """Total size of all values."""
        return sum(len(value) for value in self.values())
