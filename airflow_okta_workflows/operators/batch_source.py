"""Reading of a batch's payloads, as a stream, wherever they are: in memory, a frame, a file, or a database."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.batch.items import list_rows
from airflow_okta_workflows.core.batch.sources import (
    CSV,
    JSON_LINES,
    JSON_LIST,
    LARGEST_ROW,
    Row,
    check_column,
    check_names,
    csv_rows,
    file_format,
    json_lines_rows,
    json_list_rows,
)
from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.secret import error_reason, error_says, public_part, shown
from airflow_okta_workflows.exceptions import OktaBatchFileError
from airflow_okta_workflows.operators.batch_arguments import SqlRows, is_path, missing_item_key, needs_item_key

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

_CHUNK = 256 * 1024
_ROWS_AT_ONCE = 1_000
_GZIP = b"\x1f\x8b"
_UNBUFFERED = {"MySQLdb": "MySQLdb.cursors", "pymysql": "pymysql.cursors"}
"""Drivers whose usual cursor reads all rows at once, and the modules that have another, ``SSCursor``."""
_NAMED = ("psycopg2", "psycopg")
"""Drivers whose usual cursor reads all rows at once, and whose cursor with a name is one of the server."""
_CURSOR = "okta_workflows_batch"


@dataclass(frozen=True)
class Source:
    """Rows of a source that is open.

    :param rows: the rows
    :param unit: what a row's number counts, for messages
    """

    rows: Iterator[Row]
    unit: str = "Payload"


@contextmanager
def open_source(payloads: Any, item_key: str | None) -> Generator[Source]:
    """Open payloads for reading.

    :param payloads: a list, another iterable, a frame of Arrow, pandas or polars, a path, or :class:`SqlRows`
    :param item_key: the expression, to check it against the names of columns
    :raises CoreError: if they cannot be read, and no retry can help
    :raises OktaBatchFileError: if they cannot be read now
    """
    if needs_item_key(payloads) and item_key is None:
        raise missing_item_key()
    if isinstance(payloads, SqlRows):
        payloads.check()
        with _query(payloads) as (columns, rows):
            check_column(str(item_key), columns)
            yield Source(rows, "Row")
    elif is_path(payloads):
        with _file(payloads) as lines:
            kind = file_format(payloads.name)
            rows = _readable(_file_rows(kind, lines, str(item_key)), payloads)
            yield Source(rows, "Element" if kind == JSON_LIST else "Line")
    elif (elements := _frame(payloads)) is not None:
        yield Source(Row(number, element) for number, element in enumerate(elements))
    else:
        yield Source(list_rows(payloads))


def _frame(payloads: Any) -> Iterable[Any] | None:
    """Return the rows of a frame or of a stream of Arrow; None if it is neither. No library is imported for it."""
    kind = type(payloads)
    if hasattr(kind, "iter_rows") and hasattr(kind, "columns"):  # polars
        rows: Iterable[Any] = payloads.iter_rows(named=True)
        return rows
    if hasattr(kind, "itertuples") and hasattr(kind, "columns"):  # pandas
        columns = list(payloads.columns)
        check_names(columns)
        return (dict(zip(columns, row, strict=True)) for row in payloads.itertuples(index=False, name=None))
    if hasattr(kind, "to_batches"):  # a table of Arrow, or a dataset
        return _batches(payloads.to_batches())
    if hasattr(kind, "iter_batches"):  # a file of Parquet
        return _batches(payloads.iter_batches())
    if hasattr(kind, "read_next_batch"):  # a stream of Arrow
        return _batches(payloads)
    if hasattr(kind, "to_pylist") and hasattr(kind, "num_columns"):  # a batch of Arrow
        return _batches([payloads])
    return None


def _batches(batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        check_names(batch.schema.names)
        # A batch of a table may be the whole table.
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            yield from batch.slice(start, _ROWS_AT_ONCE).to_pylist()


@contextmanager
def _file(path: Any) -> Generator[Any]:
    try:
        file = path.open("rb")
    except Exception as error:
        raise _file_error(path, error) from error
    with file:
        begin = _read_first(path, file)
        if begin != _GZIP:
            yield file
            return
        from gzip import GzipFile

        with GzipFile(fileobj=file, mode="rb") as unpacked:
            yield unpacked


def _read_first(path: Any, file: Any) -> bytes:
    try:
        begin = bytes(file.read(len(_GZIP)))
        file.seek(0)
    except Exception as error:
        raise _file_error(path, error) from error
    return begin


def _file_rows(kind: str, file: Any, item_key: str) -> Iterator[Row]:
    if kind == CSV:
        columns, rows = csv_rows(_lines(file))
        check_column(item_key, columns)
        yield from rows
    elif kind == JSON_LINES:
        yield from json_lines_rows(_lines(file))
    else:
        yield from json_list_rows(iter(partial(file.read, _CHUNK), b""))


def _lines(file: Any) -> Iterator[bytes]:
    # One more than a row may have, so that a larger one is seen.
    return iter(partial(file.readline, LARGEST_ROW + 1), b"")


def _readable(rows: Iterator[Row], path: Any) -> Iterator[Row]:
    """Return rows; an error of the file system, or of the compressed data, becomes one of this provider."""
    try:
        yield from rows
    except (OSError, EOFError, zlib.error) as error:
        raise _file_error(path, error) from error


def _file_error(path: Any, error: Exception) -> OktaBatchFileError:
    where = public_part(str(path))
    reason, says = error_reason(error)
    return OktaBatchFileError(
        f"The file of payloads cannot be read: {reason}.",
        hint="OKW-1653: Correct the path, or let Airflow retry until the file is there and complete. Nothing was sent.",
        detail="\n".join(filter(None, (f"File: {where}", says))),
        path=where,
    )


@contextmanager
def _query(source: SqlRows) -> Generator[tuple[list[str], Iterator[Row]]]:
    connection = _connect(source)
    # Not "with connection", which would commit.
    with closing(connection), closing(_cursor(connection)) as cursor:
        try:
            # Without parameters, since some drivers then take a % as it is.
            cursor.execute(source.sql, *filter(None, [source.parameters]))
            # The driver knows the columns of a server's cursor only once it has rows.
            first = cursor.fetchmany(_ROWS_AT_ONCE) if cursor.description is None else None
        except Exception as error:
            raise _query_error(source, error) from error
        if cursor.description is None:
            raise configuration_error("The query of SqlRows returns no rows.", "OKW-1548: Give a SELECT.")
        columns = [str(column[0]) for column in cursor.description]
        check_names(columns)
        yield columns, _query_rows(source, cursor, columns, first)


def _connect(source: SqlRows) -> Any:
    from airflow.providers.common.compat.sdk import AirflowException, BaseHook

    connection: Any = BaseHook.get_connection(source.conn_id)
    try:
        hook = connection.get_hook()
    except (AirflowException, ImportError) as error:
        raise configuration_error(
            f"The connection {shown(source.conn_id, 60)} is of type {shown(connection.conn_type, 40)}, which this"
            " Airflow cannot use.",
            "OKW-1555: Correct the type of the connection, or install the provider that has it on the workers.",
            detail=f"Airflow says: {error_says(error)}",
        ) from None
    if not hasattr(hook, "get_records"):
        raise configuration_error(
            f"The connection {shown(source.conn_id, 60)} is not that of a database.",
            "OKW-1550: Give one whose hook is built on Airflow's common-sql provider; that of this connection is"
            f" {type(hook).__name__}.",
        )
    try:
        return hook.get_conn()
    except Exception as error:
        raise _query_error(source, error) from error


def _cursor(connection: Any) -> Any:
    """Return a cursor that leaves the rows at the server, where the driver has one."""
    # Airflow may have wrapped the connection.
    inner = getattr(connection, "connection", connection)
    driver = type(inner).__module__.partition(".")[0]
    if driver in _NAMED:
        cursor = connection.cursor(name=_CURSOR)
        with suppress(AttributeError):
            cursor.itersize = _ROWS_AT_ONCE
        return cursor
    if driver in _UNBUFFERED:
        from importlib import import_module

        return connection.cursor(import_module(_UNBUFFERED[driver]).SSCursor)
    return connection.cursor()


def _query_rows(source: SqlRows, cursor: Any, columns: list[str], first: Any) -> Iterator[Row]:
    number = 0
    rows = first
    while True:
        try:
            rows = cursor.fetchmany(_ROWS_AT_ONCE) if rows is None else rows
        except Exception as error:
            raise _query_error(source, error) from error
        if not rows:
            return
        for row in rows:
            number += 1
            # Iterating over a row that is a mapping, such as that of a dictionary cursor, gives names.
            values = map(row.__getitem__, columns) if isinstance(row, Mapping) else row
            yield Row(number, dict(zip(columns, values, strict=True)))
        rows = None


def _query_error(source: SqlRows, error: Exception) -> OktaBatchFileError:
    return OktaBatchFileError(
        f"The query of the payloads failed: {type(error).__name__}.",
        hint="OKW-1654: Correct the query or the connection, or let Airflow retry. Nothing was sent.",
        detail=f"Connection: {source.conn_id}\nThe database says: {error_says(error)}",
    )
