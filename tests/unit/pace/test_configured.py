"""The pace that the config specifies."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import conf
from airflow.providers_manager import ProvidersManager

from airflow_okta_workflows.core.secret import Secret
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.pace import configured
from airflow_okta_workflows.pace.configured import Pace, configured_pace
from airflow_okta_workflows.pace.host import HostTurns
from airflow_okta_workflows.pace.redis_address import RedisAddress
from airflow_okta_workflows.pace.redis_turns import RedisTurns
from airflow_okta_workflows.pace.turns import ProcessTurns

URL = "https://acme.workflows.okta.com/api/flo/1a2b/invoke"


@pytest.fixture(autouse=True)
def forget_the_redis_url() -> Iterator[None]:
    configured._redis_url.cache_clear()
    yield
    configured._redis_url.cache_clear()


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


@pytest.mark.parametrize(("mode", "told"), [("hots", "'hots'"), ("", "''"), ("redis:/:pa55word@x", "a value of")])
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


@pytest.mark.parametrize(
    "options",
    [
        {"pace": "redis", "redis_url": " redis://ada:pa55word@cache/1 "},
        {"pace": "REDIS", "redis_url": "redis://ada:pa55word@cache/1", "token_cache_dir": "/elsewhere"},
        {"pace": "redis://cache/1"},
    ],
)
def test_redis_has_turns_for_all_hosts(options: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    set_config(monkeypatch, **options)

    pace = configured_pace()

    secret = "redis://" in options["pace"]
    expected = (None, None) if secret else (Secret("ada"), Secret("pa55word"))
    assert pace.redis == RedisAddress("cache", db=1, user=expected[0], password=expected[1])
    assert isinstance(pace.turns(URL), RedisTurns)
    assert [type(turns) for turns in pace.turns_of_share(URL, 3.0)] == [ProcessTurns, RedisTurns]
    assert configured_pace() is pace
    assert "pa55word" not in repr(pace)


def everything_of(error: Exception) -> str:
    """Return what error trackers take: the locals of all frames but the test's own."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    del told.stack[0]
    assert told.__context__ is None
    return "".join(told.format())


_FAILED = "OKW-180[78]"
"""Airflow before 3.2 takes the output of a command that fails for an empty one."""


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"pace": "redis"}, "OKW-1808"),
        ({"pace": "redis", "redis_url": " "}, "OKW-1808"),
        ({"pace": "redis", "redis_url_cmd": "true"}, "OKW-1808"),
        ({"pace": "redis", "redis_url_secret": "nosuch"}, "OKW-1808"),
        ({"pace": "redis", "redis_url_cmd": "sh -c 'echo redis://:pa55word@cache; exit 3'"}, _FAILED),
        ({"pace": "redis", "redis_url_cmd": "sh -c 'echo redis://:pa55word@cache >&2; exit 3'"}, _FAILED),
        ({"pace": "redis", "redis_url": "rediss://:pa55word@cache?ssl_cert_reqs=none"}, "OKW-1809"),
        ({"pace": "redis", "redis_url": "redis://:pa55?word=x@cache"}, "OKW-1804"),
        ({"pace": "redis", "redis_url": "redis://:pa55/word@cache"}, "OKW-1804"),
        ({"pace": "redis://:pa55/word@cache"}, "OKW-1804"),
        ({"pace": "redis://:pa55word@cache"}, "OKW-1805"),
        ({"pace": "redis", "redis_url": "redis://:pa55word@cache"}, "OKW-1806"),
        ({"pace": "rediss:/:pa55word@cache"}, "OKW-1802"),
    ],
)
def test_what_cannot_be_used_is_refused_without_its_secret(
    options: dict[str, str], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_config(monkeypatch, **options)
    monkeypatch.setattr(configured, "find_spec", lambda name: None)

    with pytest.raises(OktaConfigurationError, match=code) as caught:
        configured_pace()

    assert "pa55" not in str(caught.value)
    assert "pa55" not in everything_of(caught.value)


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    set_config(monkeypatch, pace="redis", redis_url="redis://cache")
    monkeypatch.setattr(configured, "find_spec", lambda name: None)

    with pytest.raises(OktaConfigurationError) as caught:
        configured_pace()
    assert "pip install 'airflow-provider-okta-workflows[redis]'" in caught.value.hint


def test_a_url_that_was_empty_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    set_config(monkeypatch, pace="redis")
    with pytest.raises(OktaConfigurationError):
        configured_pace()
    set_config(monkeypatch, redis_url="redis://cache")

    assert configured_pace().redis == RedisAddress("cache")


def test_a_url_that_was_found_is_not_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    set_config(monkeypatch, pace="redis", redis_url="redis://cache")
    pace = configured_pace()
    set_config(monkeypatch, redis_url="")

    assert configured_pace() is pace


def test_an_error_of_the_secrets_backend_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    set_config(monkeypatch, pace="redis")

    def fail(*_: Any, **__: Any) -> str:
        # As Airflow's commands do it, which know what they have printed.
        output = "redis://:pa55word@cache"  # noqa: F841
        raise ConnectionError("vault has redis://:pa55word@cache")

    get = conf.get
    monkeypatch.setattr(conf, "get", lambda *names, **kw: (fail if names[1] == "redis_url" else get)(*names, **kw))

    with pytest.raises(OktaConfigurationError, match=r"redis_url cannot be read \(ConnectionError\)") as caught:
        configured_pace()
    assert "pa55" not in everything_of(caught.value)


def test_the_redis_url_is_a_secret_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    # As Airflow's command line does it, before it runs tasks and triggers.
    ProvidersManager().initialize_providers_configuration()  # type: ignore[no-untyped-call]
    set_config(monkeypatch, pace="redis", redis_url_cmd="echo redis://:pa55word@cache")

    assert ("okta_workflows", "redis_url") in conf.sensitive_config_values
    assert ("okta_workflows", "pace") not in conf.sensitive_config_values, "its words would be masked in all logs"
    assert configured_pace().redis == RedisAddress("cache", password=Secret("pa55word"))
