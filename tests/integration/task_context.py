"""What a task sees of Airflow while it is executed, for tests that execute one without Airflow around it."""

from __future__ import annotations

import json
from typing import Any


class TaskInstance:
    """Keep what a task pushes; stands for the part of Airflow's own that a task sees."""

    def __init__(self, **fields: Any) -> None:
        self.dag_id, self.run_id, self.task_id = "dag", "run", "task"
        self.map_index: int | None = -1
        self.max_tries = 0
        self.try_number = 1
        self.pushed: dict[str, Any] = {}
        vars(self).update(fields)

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def xcom_pull(self, *, task_ids: str, key: str, map_indexes: int | None) -> Any:
        assert (task_ids, map_indexes) == (self.task_id, self.map_index)
        return self.pushed.get(key)


def context(**fields: Any) -> Any:
    ti = TaskInstance(**fields)
    return {"ti": ti, "task_instance": ti, "run_id": "run"}


class Store(dict[str, Any]):
    """Stand for Airflow's task state store."""

    def set(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        self.pop(key, None)


class RecordingStore(Store):
    """Store that remembers the state of each checkpoint of an invocation."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[str] = []

    def set(self, key: str, value: Any) -> None:
        self.states.append(value["state"])
        super().set(key, value)


class StoreOfACutOffTask(Store):
    """Store whose task was killed after its last item, before it could say that the batch is done."""

    def set(self, key: str, value: Any) -> None:
        if "done" in value:
            raise OSError("killed")
        super().set(key, value)


def with_store(store: Store, **fields: Any) -> Any:
    return {**context(**{"max_tries": 3, **fields}), "task_state_store": store}
