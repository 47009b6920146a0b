"""The idempotency key (``Idempotency-Key`` header): one value for one wanted run of a flow, however often it is sent.

A wanted run outlives the try of the task that first requested it, so its key must not depend on anything that a
deployment can change between two tries: the task's ``retries``, the DAG's code, the payload. The key stays the same
until the run is known to have failed; the next try then wants another run, under the next ordinal.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from airflow_okta_workflows.core.uuids import uuid_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMESPACE = UUID("6f0d3c57-6d1c-5b1e-9f0e-6b8b7a0f4c11")
_KEY_BYTES = 16


def derive_key(identity: str, ordinal: int) -> str:
    """Return the idempotency key of one run in a sequence of wanted runs.

    :param identity: the UUID of the sequence, which is the key of its first run
    :param ordinal: how many runs of the sequence are known to have failed
    """
    return str(uuid5(UUID(identity), str(ordinal))) if ordinal else identity


def packed_key(key: str) -> bytes:
    """Return a key that is a UUID as 16 bytes, a fraction of the memory of the string.

    :param key: the key
    :raises ValueError: if it is no UUID
    """
    # Faster than UUID(key).bytes: a batch has a hundred thousand keys.
    packed = bytes.fromhex(key.replace("-", ""))
    if len(packed) != _KEY_BYTES:
        raise ValueError("no UUID")
    return packed


def unpacked_key(packed: bytes | bytearray) -> str:
    """Return the key that :func:`packed_key` has packed.

    :param packed: the 16 bytes
    """
    return uuid_text(packed.hex())


@dataclass(frozen=True)
class WantedRun:
    """One run of a flow that a task instance wants.

    :param identity: the UUID that this run shares with the failed runs before it
    :param max_tries: Airflow's ``max_tries`` of the task instance when the run was first wanted; a retry does not
        change it, and clearing the task raises it
    :param ordinal: how many runs under this identity are known to have failed
    """

    identity: str
    max_tries: int | None
    ordinal: int = 0

    @property
    def key(self) -> str:
        """The idempotency key of this run."""
        return derive_key(self.identity, self.ordinal)

    def after_failure(self) -> WantedRun:
        """Return the next wanted run, for when this one is known to have failed."""
        return replace(self, ordinal=self.ordinal + 1)

    def to_json(self) -> dict[str, Any]:
        """Return the run as a JSON object, which includes the key only for people who look for a run."""
        return {
            "idempotency_key": self.key,
            "identity": self.identity,
            "max_tries": self.max_tries,
            "ordinal": self.ordinal,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> WantedRun | None:
        """Return the run that a JSON object describes; None if it cannot be read.

        :param value: what :meth:`to_json` returned, possibly in another version of this provider
        """
        identity, max_tries, ordinal = value.get("identity"), value.get("max_tries"), value.get("ordinal")
        readable = isinstance(ordinal, int) and ordinal >= 0 and (max_tries is None or isinstance(max_tries, int))
        if not readable or not isinstance(identity, str) or "max_tries" not in value:
            return None
        try:
            return cls(str(UUID(identity)), max_tries, ordinal)  # type: ignore[arg-type]  # checked above to be an int
        except ValueError:
            return None


def computed_identity(
    *, dag_id: str, run_id: str, task_id: str, map_index: int, max_tries: int | None, run_mark: str
) -> str:
    """Return the identity of a wanted run where no checkpoint can be stored, as on Airflow before 3.3.

    Equal arguments give equal identities. Only ``max_tries`` distinguishes a cleared task from a retry: Airflow sets
    it when it creates the task instance, keeps it over retries, and raises it when the task is cleared.

    :param dag_id: the DAG's id
    :param run_id: the run's id
    :param task_id: the task's id
    :param map_index: the index of a mapped task, otherwise -1
    :param max_tries: Airflow's ``max_tries`` of the task instance
    :param run_mark: distinguishes the run from a deleted one with the same id
    """
    return str(uuid5(_NAMESPACE, json.dumps([dag_id, run_id, task_id, map_index, max_tries, run_mark])))


def event_key(*parts: str | int | None) -> str:
    """Return the idempotency key of the notification of one event. Equal parts give equal keys.

    :param parts: what makes it this event and this notification
    """
    return str(uuid5(_NAMESPACE, json.dumps(["notification", *parts])))
