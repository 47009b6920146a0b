"""The pace that the config specifies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.pace.configured import Pace, configured_pace
from airflow_okta_workflows.pace.host import HostTurns
from airflow_okta_workflows.pace.turns import ProcessTurns

URL = "https://acme.workflows.okta.com/api/flo/1a2b/invoke"


def set_config(monkeypatch: pytest.MonkeyPatch, **options: str) -> None:
    for name, value in options.items():
        monkeypatch.setenv(f"AIRFLOW__OKTA_WORKFLOWS__{name.upper()}", value)


def test_the_pace_is_the_hosts_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AIRFLOW__OKTA_WORKFLOWS__PACE")
    set_config(monkeypatch, token_cache_dir=str(tmp_path))

    pace = configured_pace()

    assert pace == Pace("host", 10.0, tmp_path)
    assert isinstance(pace.turns(URL), HostTurns)


@pytest.mark.parametrize(("mode", "kind"), [("host", HostTurns), (" Process ", ProcessTurns), ("OFF", type(None))])
def test_each_mode_has_its_turns(mode: str, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    set_config(monkeypatch, pace=mode, flow_rate="2.5")

    pace = configured_pace()

    assert pace.flow_rate == 2.5
    assert isinstance(pace.turns(URL), kind)


def test_all_callers_get_the_same_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    set_config(monkeypatch, pace="process")
    pace = configured_pace()

    assert configured_pace() is pace
    assert pace.turns(URL) is pace.turns(URL)
    assert pace.turns(URL) is not pace.turns(f"{URL}/another")
    set_config(monkeypatch, flow_rate="5")
    assert configured_pace().turns(URL) is not pace.turns(URL)


@pytest.mark.parametrize(
    ("mode", "max_rate", "kinds"),
    [
        ("off", 3.0, [ProcessTurns]),
        ("off", 300.0, [ProcessTurns]),
        ("host", 3.0, [ProcessTurns, HostTurns]),
        ("host", 10.0, [HostTurns]),
        ("host", 300.0, [HostTurns]),
    ],
)
def test_a_callers_own_limit_only_lowers_its_share(mode: str, max_rate: float, kinds: list[Any]) -> None:
    assert [type(turns) for turns in Pace(mode).turns_of_share(URL, max_rate)] == kinds


def test_an_own_limit_is_not_shared() -> None:
    one, other = (Pace("off").turns_of_share(URL, 1.0)[0] for _ in range(2))
    assert one.reserve(0.0) == other.reserve(0.0) == 0.0


@pytest.mark.parametrize(("mode", "told"), [("hots", "'hots'"), ("", "''"), ("redis://:pa55word@x", "a value of")])
def test_an_unknown_mode_is_refused(mode: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_config(monkeypatch, pace=mode)

    with pytest.raises(OktaConfigurationError, match="OKW-1802") as caught:
        configured_pace()
    assert "pa55word" not in str(caught.value)


@pytest.mark.parametrize("rate", ["", "ten", "0", "-1", "nan", "inf", "1e9"])
def test_a_rate_that_is_none_is_refused(rate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_config(monkeypatch, flow_rate=rate)

    with pytest.raises(OktaConfigurationError, match="OKW-1803"):
        configured_pace()
