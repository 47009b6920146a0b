from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_okta_workflows import types


@pytest.mark.parametrize("name", types.__all__)
def test_each_type_is_there_and_brings_no_http_client(name: str) -> None:
    code = f"import sys; from airflow_okta_workflows.types import {name}; print({name}.__name__, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    shown, *modules = done.stdout.split()
    assert shown == name
    assert not {"airflow", "aiohttp", "h11", "requests"} & set(modules)


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Secret'"):
        _ = types.Secret
