"""The configured pace: ``[okta_workflows] pace``, ``redis_url`` and ``flow_rate``."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import conf

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.retry.pacer import FLOW_RATE, check_rate
from airflow_okta_workflows.core.secret import Secret, shown
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.pace.turns import ProcessTurns
from airflow_okta_workflows.private_directory import configured_directory

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_okta_workflows.pace.redis_address import RedisAddress
    from airflow_okta_workflows.pace.turns import Turns

_MODES = ("host", "process", "off", "redis")


@dataclass(frozen=True)
class Pace:
    """The pace of all flows.

    :param mode: who shares it: ``host``, ``process``, ``redis`` for all hosts, or ``off``
    :param flow_rate: invocations per second of each flow
    :param directory: the private directory, for ``host`` and ``redis``; None if the user has no home directory for it
    :param redis: the Redis server, for ``redis``
    """

    mode: str
    flow_rate: float = FLOW_RATE
    directory: Path | None = None
    redis: RedisAddress | None = None
    _turns: dict[str, Turns] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def block(self) -> int:
        """Number of turns that the tasks of one event loop may have reserved together: those of half a second.

        Each trigger is a task of its own, but a thousand of them must not delay others by a thousand turns. Nor does a
        429 slow down what is reserved already, so without a shared pace a larger block causes more of them.
        """
        return max(1, int(self.flow_rate / 2))

    def turns(self, url: str) -> Turns | None:
        """Return the turns of a flow, which all users of this object share; None if there is no pace.

        :param url: the flow's invoke URL
        """
        if self.mode == "off":
            return None
        if (turns := self._turns.get(url)) is None:
            # setdefault: two threads may come at the same time.
            turns = self._turns.setdefault(url, self._new_turns(url))
        return turns

    def turns_of_share(self, url: str, max_rate: float) -> tuple[Turns, ...]:
        """Return the turns of a caller that invokes a flow often: its own, the shared ones, or both in this order.

        :param url: the flow's invoke URL
        :param max_rate: the caller's own limit, in invocations per second
        """
        shared = self.turns(url)
        if shared is None:
            return (ProcessTurns(max_rate),)
        return (ProcessTurns(max_rate), shared) if max_rate < self.flow_rate else (shared,)

    def _new_turns(self, url: str) -> Turns:
        if self.mode == "process":
            return ProcessTurns(self.flow_rate)
        from airflow_okta_workflows.pace.host import HostTurns

        host = HostTurns(self.directory, url, self.flow_rate)
        if self.redis is None:
            return host
        from airflow_okta_workflows.pace.redis_turns import RedisTurns, redis_server

        return RedisTurns(redis_server(self.redis), url, self.flow_rate, host)


_paces: dict[Pace, Pace] = {}
"""The paces that were configured in this process, one for each configuration."""


def configured_pace() -> Pace:
    """Return the pace that the config specifies, the same object for all callers in this process.

    :raises OktaConfigurationError: for a value that cannot be used
    """
    configured_mode = Secret(conf.get("okta_workflows", "pace", fallback="host").strip())
    mode = _known_mode(configured_mode)
    if mode is None:
        raise OktaConfigurationError(
            f"[okta_workflows] pace is {shown(configured_mode.reveal(), 20)}.",
            hint="OKW-1802: Set it to host, process, redis or off. The URL of the Redis server belongs in redis_url.",
        )
    configured = conf.get("okta_workflows", "flow_rate", fallback=str(FLOW_RATE)).strip()
    try:
        flow_rate = float(configured)
        check_rate(flow_rate, "flow_rate")
    except (ValueError, CoreError):
        raise OktaConfigurationError(
            f"[okta_workflows] flow_rate is {shown(configured, 20)}.",
            hint="OKW-1803: Set it to the invocations per second that Okta allows for one flow, such as 10.",
        ) from None
    redis = _redis_address(configured_mode) if mode == "redis" else None
    pace = Pace(mode, flow_rate, configured_directory() if mode in ("host", "redis") else None, redis)
    return _paces.setdefault(pace, pace)


def _known_mode(mode: Secret) -> str | None:
    # Not a plain string: someone may have put a password here, and tracebacks can show the locals of frames.
    if known := next((known for known in _MODES if known == mode.reveal().lower()), None):
        return known
    from airflow_okta_workflows.pace.redis_address import is_redis_url

    return "redis" if is_redis_url(mode) else None


def _redis_address(pace: Secret) -> RedisAddress:
    """Return the address of the Redis server.

    :param pace: the value of ``pace``
    """
    from airflow_okta_workflows.pace.redis_address import is_redis_url, parse_redis_url, unsupported_parameter

    url = pace if is_redis_url(pace) else _redis_url()
    address = parse_redis_url(url)
    if address is None:
        option = "pace" if url is pace else "redis_url"
        if parameter := unsupported_parameter(url):
            raise OktaConfigurationError(
                f"[okta_workflows] {option} has a parameter that is not supported: {parameter}.",
                hint="OKW-1809: Remove it. With rediss://, these are supported: ssl_ca_certs, ssl_certfile, ssl_keyfile"
                " and ssl_cert_reqs=required; the certificate is always checked.",
            )
        raise OktaConfigurationError(
            f"[okta_workflows] {option} is not the URL of a Redis server.",
            hint="OKW-1804: Set redis_url to redis://USER:PASSWORD@HOST:PORT/DB, or rediss://… for TLS. Percent-encode"
            " USER and PASSWORD.",
        )
    if address.password and url is pace:
        raise OktaConfigurationError(
            "[okta_workflows] pace contains a password, which Airflow would show to all who may see its configuration.",
            hint="OKW-1805: Set pace to redis and redis_url, redis_url_cmd or redis_url_secret to the URL.",
        )
    if find_spec("redis") is None:
        raise OktaConfigurationError(
            "[okta_workflows] pace is redis, but the Redis client is not installed.",
            hint="OKW-1806: Run pip install 'airflow-provider-okta-workflows[redis]' where tasks and triggers run.",
        )
    return address


@cache
def _redis_url() -> Secret:
    """Return the URL, which is looked up once: that may start a process, or ask a secrets backend.

    :raises OktaConfigurationError: if there is none, in which case it is looked up again
    """
    failure = ""
    try:
        url = Secret(conf.get("okta_workflows", "redis_url", fallback="").strip())
    except Exception as error:
        # Its text has the output of redis_url_cmd. Nor may it be the context of the error that is raised.
        failure = type(error).__name__
    if failure:
        raise OktaConfigurationError(
            f"[okta_workflows] redis_url cannot be read ({failure}).",
            hint="OKW-1807: Run redis_url_cmd yourself, or look redis_url_secret up in the secrets backend.",
        )
    if not url.reveal():
        raise OktaConfigurationError(
            "[okta_workflows] pace is redis, but redis_url is empty.",
            hint="OKW-1808: Set redis_url, redis_url_cmd or redis_url_secret. The command must print the URL, and the"
            " secrets backend must have it.",
        )
    return url
