"""Every class of Airflow's http provider that takes the id of a connection, and how to make it send."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import aiohttp
import airflow.providers.http
import tenacity
from aiohttp import BasicAuth
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.providers.http.hooks.http import HttpAsyncHook, HttpHook
from airflow.providers.http.notifications.http import HttpNotifier
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
from airflow.providers.http.triggers.http import (
    HttpEventTrigger,
    HttpSensorTrigger,
    HttpTrigger,
    serialize_auth_type,
)

from tests.integration.task_context import context

Route = Callable[[str], object]
"""Uses the connection with an id. What it returns or raises is all that Airflow then has to store or log."""

PATH = "/api/flo/x/invoke"


def takers_of_a_connection_id() -> set[str]:
    """Return the name of each class and function of the provider that is given the id of a connection.

    A class whose constructor passes its arguments on takes what its base class takes.
    """
    return {value.__name__ for value in _members() if any(map(_takes_a_connection_id, _constructors(value)))}


def _members() -> Iterator[Any]:
    package = airflow.providers.http
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        for value in vars(importlib.import_module(found.name)).values():
            if callable(value) and getattr(value, "__module__", "").startswith(package.__name__):
                yield value


def _constructors(value: Any) -> list[Any]:
    return [vars(base).get("__init__") for base in value.__mro__] if inspect.isclass(value) else [value]


def _takes_a_connection_id(function: Any) -> bool:
    return function is not None and any(re.search("conn.*id", name) for name in inspect.signature(function).parameters)


# ---- hooks


def _run(method: str, conn_id: str) -> object:
    return HttpHook(method, conn_id).run(PATH).text


def _test_connection(conn_id: str) -> object:
    return HttpHook("GET", conn_id).test_connection()  # type: ignore[no-untyped-call]  # Airflow's


def _get_conn(conn_id: str) -> object:
    hook = HttpHook(http_conn_id=conn_id)
    with hook.get_conn() as session:
        return session.get(hook.base_url).text


def _advanced_retry(conn_id: str) -> object:
    options = {"stop": tenacity.stop_after_attempt(2), "reraise": True}
    return HttpHook(http_conn_id=conn_id).run_with_advanced_retry(options, PATH).text


async def _arun(method: str, conn_id: str) -> object:
    return await (await HttpAsyncHook(method, conn_id).run(endpoint=PATH)).text()


async def _arun_in_a_session(conn_id: str) -> object:
    async with aiohttp.ClientSession() as session:
        return await (await HttpAsyncHook("POST", conn_id).run(session, PATH, json={})).text()


async def _arun_in_the_session_of_the_hook(conn_id: str) -> object:
    async with HttpAsyncHook("GET", conn_id).session() as session:
        return await (await session.run(PATH)).text()


# ---- triggers


def _fire(trigger: Any) -> list[object]:
    """Run a trigger as a triggerer does, and return what is stored of it: its row in the database, and its events."""
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    stored = getattr(importlib.import_module(module), name)(**arguments)

    async def run() -> list[object]:
        return [event.payload async for event in stored.run()]

    return [arguments, *asyncio.run(run())]


def _event_trigger(conn_id: str) -> HttpEventTrigger:
    # With no patience, where the version knows that: a failed poll otherwise waits and polls again.
    patience: dict[str, Any] = {"max_consecutive_failures": 1}
    known = inspect.signature(HttpEventTrigger).parameters
    return HttpEventTrigger(
        "tests.integration.response_check.satisfied",
        conn_id,
        serialize_auth_type(BasicAuth),
        endpoint=PATH,
        poll_interval=0,
        **{name: value for name, value in patience.items() if name in known},
    )


# ---- operators, sensors and notifiers


def _deferred_operator(conn_id: str) -> object:
    operator = HttpOperator(task_id="http", http_conn_id=conn_id, endpoint=PATH, deferrable=True)
    try:
        return operator.execute(context())
    except TaskDeferred as deferred:
        row, event = _fire(deferred.trigger)
        # What is stored counts even where the operator then fails.
        return [row, event, _outcome(lambda: operator.execute_complete(context(), event))]  # type: ignore[arg-type]  # a dict


def _outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except Exception as error:
        return error


def _sensor(conn_id: str, **options: Any) -> HttpSensor:
    return HttpSensor(task_id="http", http_conn_id=conn_id, endpoint=PATH, poke_interval=0, **options)


def _notifier(conn_id: str) -> HttpNotifier:
    return HttpNotifier(http_conn_id=conn_id, endpoint=PATH, json={"text": "a task has failed"})


def _awaited(use: Callable[..., Coroutine[Any, Any, object]], *arguments: Any) -> object:
    return asyncio.run(use(*arguments))


METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD")

ROUTES: dict[str, dict[str, Route]] = {
    "HttpHook": {
        **{method: partial(_run, method) for method in METHODS},
        "get_conn": _get_conn,
        "with retries": _advanced_retry,
        "test_connection": _test_connection,
    },
    "HttpAsyncHook": {
        **{method: partial(_awaited, _arun, method) for method in METHODS},
        "in a session": partial(_awaited, _arun_in_a_session),
        "in its own session": partial(_awaited, _arun_in_the_session_of_the_hook),
    },
    "HttpTrigger": {"": lambda conn_id: _fire(HttpTrigger(conn_id, serialize_auth_type(BasicAuth), endpoint=PATH))},
    "HttpSensorTrigger": {"": lambda conn_id: _fire(HttpSensorTrigger(PATH, conn_id))},
    "HttpEventTrigger": {"": lambda conn_id: _fire(_event_trigger(conn_id))},
    "HttpOperator": {"deferred": _deferred_operator},
    "HttpSensor": {
        "poke": lambda conn_id: _sensor(conn_id).execute(context()),
        "reschedule": lambda conn_id: _sensor(conn_id, mode="reschedule").poke(context()),
        "deferred": lambda conn_id: _sensor(conn_id, deferrable=True).execute(context()),
    },
    "HttpNotifier": {
        "sync": lambda conn_id: _notifier(conn_id).notify(context()),
        "async": lambda conn_id: asyncio.run(_notifier(conn_id).async_notify(context())),
    },
}
"""How each taker of a connection id is used. HttpOperator without deferral goes through our hook, and is tested there."""


def used(route: Route, conn_id: str) -> str:
    """Use a connection by a route, and return all that it says: what it returned, or raised with its causes.

    :param route: the route
    :param conn_id: the connection
    """
    said: object = _outcome(lambda: route(conn_id))
    texts = []
    while said is not None:
        texts.append(repr(said))
        said = (said.__cause__ or said.__context__) if isinstance(said, BaseException) else None
    return "\n".join(texts)
