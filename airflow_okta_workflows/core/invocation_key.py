"""The invocation key: one value over all tries of one task instance, sent as ``Idempotency-Key``."""

from __future__ import annotations

import json
from uuid import UUID, uuid5

_NAMESPACE = UUID("6f0d3c57-6d1c-5b1e-9f0e-6b8b7a0f4c11")


def invocation_key(*, dag_id: str, run_id: str, task_id: str, map_index: int, clearing: int) -> str:
    """Return the invocation key of a task instance: a UUID, the same for the same arguments.

    :param dag_id: the DAG's id
    :param run_id: the run's id
    :param task_id: the task's id
    :param map_index: the index of a mapped task, else -1
    :param clearing: a number that a retry leaves as it is and a clearing by hand changes
    """
    return str(uuid5(_NAMESPACE, json.dumps([dag_id, run_id, task_id, map_index, clearing])))
