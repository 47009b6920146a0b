"""The URL of a Redis server: what it may contain, and what it does not show."""

from __future__ import annotations

import pytest

from airflow_okta_workflows.core.secret import Secret
from airflow_okta_workflows.pace.redis_address import (
    RedisAddress,
    is_redis_url,
    parse_redis_url,
    unsupported_parameter,
)

PASSWORD = "pa55:w/rd#1"
ESCAPED = "pa55%3Aw%2Frd%231"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", RedisAddress("cache")),
        ("REDIS://cache/", RedisAddress("cache")),
        ("redis://cache:6380/7", RedisAddress("cache", 6380, 7)),
        (f"redis://:{ESCAPED}@cache/1", RedisAddress("cache", db=1, password=Secret(PASSWORD))),
        (f"redis://ada:{ESCAPED}@cache", RedisAddress("cache", user=Secret("ada"), password=Secret(PASSWORD))),
        (
            f"rediss://:{ESCAPED}@h:6379/1?ssl_cert_reqs=required",
            RedisAddress("h", db=1, tls=True, password=Secret(PASSWORD)),
        ),
        ("rediss://h?ssl_cert_reqs=CERT_REQUIRED", RedisAddress("h", tls=True)),
        ("rediss://[::1]:6380", RedisAddress("::1", 6380, tls=True)),
        (
            "rediss://cache?ssl_ca_certs=/etc/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem",
            RedisAddress(
                "cache",
                tls=True,
                files=(("ssl_ca_certs", "/etc/ca.pem"), ("ssl_certfile", "/c.pem"), ("ssl_keyfile", "/k.pem")),
            ),
        ),
    ],
)
def test_a_url_has_what_the_server_needs(url: str, address: RedisAddress) -> None:
    assert is_redis_url(Secret(url))
    assert parse_redis_url(Secret(url)) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cache:6379",
        "http://cache",
        "unix:///run/redis.sock",
        "redis://",
        "redis://:6379/0",
        "redis://cache:port",
        "redis://cache:99999",
        "redis://cache/one",
        "redis://cache/-1",
        "redis://cache/1/2",
        "redis://pa55word@cache",
        "redis://:pa55/word@cache",
        "redis://:pa55#word@cache",
        "redis://:pa55?word@cache",
        "redis://[cache",
        "redis://cache?ssl_ca_certs=/etc/ca.pem",
        "rediss://cache?ssl_cert_reqs=none",
        "redis://cache?ssl_cert_reqs=required",
        "rediss://cache?socket_timeout=60",
        "rediss://cache?ssl_ca_certs",
        "rediss://cache#1",
    ],
)
def test_any_other_url_is_none(url: str) -> None:
    assert parse_redis_url(Secret(url)) is None


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("rediss://cache?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none", "ssl_cert_reqs"),
        ("rediss://cache?ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs"),
        ("rediss://cache?ssl_cert_reqs=", "ssl_cert_reqs"),
        ("redis://cache?ssl_ca_certs=/ca.pem", "ssl_ca_certs"),
        ("redis://cache?socket_timeout=5", "socket_timeout"),
        ("redis://cache?visibility_timeout=5", "visibility_timeout"),
        ("rediss://:pa?55=word@cache", None),
        ("redis://ada:12?pa55=word@cache", None),
        ("rediss://cache?ssl_cert_reqs=required", None),
        ("redis://:pa55/word@cache", None),
    ],
)
def test_a_parameter_that_is_not_supported_is_named_and_a_part_of_a_password_is_not(url: str, name: str | None) -> None:
    assert unsupported_parameter(Secret(url)) == name


def test_an_address_shows_neither_user_nor_password() -> None:
    address = parse_redis_url(Secret(f"redis://ada:{ESCAPED}@cache:6380/1"))

    assert str(address) == "'cache:6380'"
    assert "ada" not in repr(address)
    assert "pa55" not in repr(address)
