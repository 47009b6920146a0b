"""What a batch keeps on the disk instead of in memory."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.checkpoints import spool
from airflow_okta_workflows.checkpoints.spool import Spool, SpooledMapping
from airflow_okta_workflows.exceptions import OktaBatchFileError


@given(st.lists(st.binary() | st.integers(0, 5)))
def test_what_was_added_is_read_in_any_order(steps: list[bytes | int]) -> None:
    kept = Spool()
    expected: list[bytes] = []
    for step in steps:
        if isinstance(step, bytes):
            assert kept.add(step) == len(expected)
            expected.append(step)
        elif step < len(expected):
            assert kept[step] == expected[step]

    assert [kept[number] for number in range(len(kept))] == expected


def test_much_is_on_the_disk_and_still_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_IN_MEMORY", 10)
    kept = Spool()
    for number in range(100):
        kept.add(str(number).encode())
        assert kept[number // 2] == str(number // 2).encode()


def test_the_last_value_of_a_key_counts() -> None:
    one, other = str(UUID(int=1)), str(UUID(int=2))
    kept: SpooledMapping[int] = SpooledMapping(int)
    kept.add(one, 1)
    kept.add(one, 2)

    assert dict(kept) == {one: 2}
    assert (one in kept, other in kept, len(kept), kept.get(other)) == (True, False, 1, None)


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Spool()

    def full(data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept._file, "write", full)
    with pytest.raises(OktaBatchFileError, match="No space left on device"):
        kept.add(b"x")
