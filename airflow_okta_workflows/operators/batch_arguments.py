"""Arguments of the batch operator that name payloads elsewhere: in a file, or in a database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.errors import CoreError, configuration_error
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.operators.templated_argument import TemplatedArgument, is_instance_of, is_xcom

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class SqlRows(TemplatedArgument):
    """Rows of a query, one payload each: an object with the names and values of the columns.

    The connection can be of any database whose hook is built on Airflow's common-sql provider. The rows are read as a
    stream, before the first of them is sent.

    :param conn_id: the connection to the database (templated)
    :param sql: the query (templated)
    :param parameters: the values of its placeholders, in the style of the database's driver (templated)
    :raises OktaConfigurationError: for an argument that cannot work
    """

    template_fields: Sequence[str] = ("conn_id", "sql", "parameters")

    def __init__(self, conn_id: str, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> None:
        self.conn_id = conn_id
        self.sql = sql
        self.parameters = parameters
        self.check(parsing=True)

    def check(self, *, parsing: bool = False) -> None:
        """Raise for an argument that cannot work.

        :param parsing: whether the DAG is parsed, and an XCom has no value yet
        :raises OktaConfigurationError: if there is one
        """
        for name, value in (("conn_id", self.conn_id), ("sql", self.sql)):
            if parsing and is_xcom(value):
                continue
            if not isinstance(value, str) or not value.strip():
                raise OktaConfigurationError(
                    f"{name} of SqlRows is not a string, or is empty.",
                    hint="OKW-1647: Give SqlRows('connection id', 'SELECT …', parameters).",
                )

    def __repr__(self) -> str:
        # Airflow before 3.3 stores this with the DAG, so it must be the same in each process.
        return f"SqlRows({self.conn_id!r}, {self.sql!r}, {self.parameters!r})"


def is_path(value: object) -> bool:
    """Return whether a value is a path: of ``pathlib``, or an ``ObjectStoragePath``, which is not imported for it.

    :param value: the value
    """
    return isinstance(value, Path) or is_instance_of("ObjectStoragePath", value)


def needs_item_key(payloads: object) -> bool:
    """Return whether payloads are read elsewhere, where they may change between two tries: in a file or a database.

    :param payloads: the argument
    """
    return isinstance(payloads, SqlRows) or is_path(payloads)


def check_payloads(payloads: object, item_key: str | None) -> None:
    """Raise if payloads cannot be read by each try of the task.

    :param payloads: the argument
    :param item_key: the argument ``item_key``
    :raises CoreError: for an iterator, and for a file or a query without ``item_key``
    """
    if isinstance(payloads, Iterator):
        raise configuration_error(
            "payloads is an iterator, which is used up by the first try.",
            "OKW-1607: Give a list, or a callable that returns an iterable.",
        )
    if item_key is None and needs_item_key(payloads):
        raise missing_item_key()


def check_options(options: Mapping[str, Any], records_path: object) -> None:
    """Raise for an argument of other operators that a batch cannot have.

    :param options: the arguments that the batch operator does not name
    :param records_path: the argument ``records_path``
    :raises OktaConfigurationError: if there is one
    """
    if options.get("multiple_outputs") and records_path is None:
        raise OktaConfigurationError(
            "multiple_outputs needs an object, and the XCom of a batch without records_path is a list.",
            hint="OKW-1672: Leave multiple_outputs out, or set records_path: the XCom is then an object of path, counts"
            " and first_errors.",
        )
    if "deferrable" in options:
        raise OktaConfigurationError(
            "deferrable is given, and a batch cannot be deferred.",
            hint="OKW-1673: Leave deferrable out: the worker sends the invocations, and waits for the ends of runs.",
        )


def check_on_error(on_error: object) -> None:
    """Raise unless ``on_error`` has a value that the operator knows.

    :param on_error: the argument
    :raises CoreError: if it does not
    """
    if on_error not in ("fail", "collect"):
        raise configuration_error(f"on_error is {shown(on_error, 20)}.", "OKW-1606: Set it to 'fail' or 'collect'.")


def missing_item_key() -> CoreError:
    """Return the error for a file or a query without ``item_key``."""
    return configuration_error(
        "payloads is a file or a query, and there is no item_key.",
        "OKW-1547: Set item_key to what identifies a row, such as 'email'. By it a retry recognizes the rows that were"
        " sent, even if the source has changed.",
    )
