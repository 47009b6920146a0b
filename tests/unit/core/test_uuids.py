"""UUIDs as the uuid module makes them."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.uuids import named_uuid, random_uuid


@given(st.uuids(), st.text())
def test_any_name_has_the_uuid_that_the_uuid_module_gives_it(namespace: uuid.UUID, name: str) -> None:
    assert named_uuid(namespace.bytes, name) == str(uuid.uuid5(namespace, name))


def test_random_ones_are_of_version_4_and_differ() -> None:
    made = [random_uuid() for _ in range(1000)]

    assert {(uuid.UUID(one).version, uuid.UUID(one).variant) for one in made} == {(4, uuid.RFC_4122)}
    assert [str(uuid.UUID(one)) for one in made] == made
    assert len(set(made)) == 1000
