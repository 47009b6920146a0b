"""Batches from file to file: payloads in a file, a database or a frame, and records in a file."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowNotFoundException, BaseHook, ObjectStoragePath

from airflow_okta_workflows.checkpoints import batch as checkpoints
from airflow_okta_workflows.core.batch import sources
from airflow_okta_workflows.emulator import LocalOrg, Reset, ReturnError
from airflow_okta_workflows.exceptions import (
    OktaBatchFileError,
    OktaConfigurationError,
    OktaFlowFailedError,
    OktaTokenRefusedError,
)
from airflow_okta_workflows.operators import batch_source, records_file
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, SqlRows
from airflow_okta_workflows.operators.records_file import RecordsFile
from tests.airflow_features import OBJECT_STORAGE, needs
from tests.integration.task_context import Store, StoreOfACutOffTask, context, with_store

pytestmark = needs(OBJECT_STORAGE)

Connect = Callable[..., None]
PEOPLE = [{"email": f"{name}@example.com", "dept": name[0]} for name in ("ada", "alan", "barbara", "grace", "edsger")]
EMAILS = [person["email"] for person in PEOPLE]


@pytest.fixture(autouse=True)
def _connected(org: LocalOrg, connect: Connect) -> None:
    connect(org)


def path(file: Path) -> Any:
    return ObjectStoragePath(f"file://{file}")


def batch(payloads: Any, **options: Any) -> InvokeOktaFlowBatchOperator:
    given = {"task_id": "task", "flow": "echo", "max_rate": 2000, "item_key": "email", "retries": 3, "result": "body"}
    return InvokeOktaFlowBatchOperator(**{**given, "payloads": payloads, **options})


def csv_of(people: Iterable[dict[str, Any]]) -> str:
    return "email,dept\n" + "".join(f"{one['email']},{one['dept']}\n" for one in people)


def csv_file(tmp_path: Path, text: str | None = None) -> Any:
    file = tmp_path / "leavers.csv"
    file.write_text(csv_of(PEOPLE) if text is None else text)
    return path(file)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def runs(org: LocalOrg) -> Counter[str]:
    return Counter(run.body["email"] for run in org.flows["echo"].runs)


# ---- where payloads come from


FILES = {
    "leavers.csv": csv_of(PEOPLE).encode(),
    "leavers.csv.gz": gzip.compress(csv_of(PEOPLE).encode()),
    "named_without_gz.csv": gzip.compress(csv_of(PEOPLE).encode()),
    "leavers.jsonl": "\n".join(map(json.dumps, PEOPLE)).encode(),
    "leavers.ndjson.gz": gzip.compress("\n".join(map(json.dumps, PEOPLE)).encode()),
    "leavers.json": json.dumps(PEOPLE, indent=1).encode(),
    "leavers.json.gz": gzip.compress(json.dumps(PEOPLE).encode()),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_in_each_format_is_a_payload_for_each_row(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILES[name])

    records = batch(path(tmp_path / name)).execute(context())

    assert [record["result"] for record in records] == PEOPLE
    assert [record["item"] for record in records] == EMAILS


class Frame:
    """The part of a pandas frame that is used."""

    columns = ("email", "dept")

    def itertuples(self, index: bool, name: None) -> Iterable[tuple[str, str]]:
        assert index is False
        return (tuple(person.values()) for person in PEOPLE)  # type: ignore[misc]

    def to_dict(self) -> None:
        raise AssertionError("it is read as a stream")


class Polars:
    columns = ("email", "dept")

    def iter_rows(self, named: bool) -> Iterable[dict[str, str]]:
        assert named
        return iter(PEOPLE)


class ArrowBatch:
    def __init__(self, people: list[dict[str, str]] = PEOPLE) -> None:
        self.people = people
        self.num_rows = len(people)

    num_columns = 2
    schema = SimpleNamespace(names=["email", "dept"])

    def slice(self, start: int, length: int) -> ArrowBatch:
        return ArrowBatch(self.people[start : start + length])

    def to_pylist(self) -> list[dict[str, str]]:
        assert self.num_rows <= 2
        return self.people


class ArrowTable:
    def to_batches(self) -> list[ArrowBatch]:
        return [ArrowBatch()]


class ParquetFile:
    def iter_batches(self) -> Iterable[ArrowBatch]:
        return iter([ArrowBatch()])


class ArrowStream:
    def read_next_batch(self) -> None:
        raise AssertionError

    def __iter__(self) -> Any:
        return iter([ArrowBatch()])


@pytest.mark.parametrize("kind", [Frame, Polars, ArrowBatch, ArrowTable, ParquetFile, ArrowStream])
@pytest.mark.parametrize("item_key", ["email", None])
def test_a_frame_is_read_row_by_row(monkeypatch: pytest.MonkeyPatch, kind: type[Any], item_key: str | None) -> None:
    monkeypatch.setattr(batch_source, "_ROWS_AT_ONCE", 2)

    records = batch(kind(), item_key=item_key).execute(context())

    assert [record["result"] for record in records] == PEOPLE


def test_a_path_of_pathlib_is_a_file(tmp_path: Path) -> None:
    csv_file(tmp_path)

    records = batch(tmp_path / "leavers.csv").execute(context())
    assert [record["item"] for record in records] == EMAILS
    with pytest.raises(OktaConfigurationError, match="there is no item_key"):
        batch(tmp_path / "leavers.csv", item_key=None)
    with pytest.raises(OktaConfigurationError, match="the file of the payloads"):
        batch(tmp_path / "leavers.csv", records_path=f"{tmp_path}/leavers.csv").execute(context())


@pytest.mark.parametrize("kind", [Frame, ArrowBatch, ArrowTable, ParquetFile, ArrowStream])
def test_a_frame_with_a_repeated_column_is_refused(
    monkeypatch: pytest.MonkeyPatch, org: LocalOrg, kind: type[Any]
) -> None:
    names = ["email", "dept", "dept"]
    monkeypatch.setattr(Frame, "columns", names)
    monkeypatch.setattr(ArrowBatch, "schema", SimpleNamespace(names=names))

    with pytest.raises(OktaConfigurationError, match=r"(?s)the same name: 'dept'.*OKW-1549"):
        batch(kind()).execute(context())
    assert org.log == []


def test_a_callable_may_return_a_file_or_a_stream(tmp_path: Path) -> None:
    file = csv_file(tmp_path)
    for payloads in (lambda: file, lambda: iter(PEOPLE), lambda ti: iter(PEOPLE)):
        assert [record["item"] for record in batch(payloads).execute(context())] == EMAILS


# ---- a database


class SqliteHook:
    """Hook of SQLite, as its provider's is."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def get_records(self) -> None:
        raise AssertionError("it is read as a stream")

    def get_conn(self) -> sqlite3.Connection:
        return sqlite3.connect(self.file)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sqlite3.Connection:
    file = tmp_path / "hr.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE leavers (email TEXT, dept TEXT, left DATE)")
    connection.executemany("INSERT INTO leavers VALUES (:email, :dept, '2026-01-01')", PEOPLE)
    connection.commit()
    found = BaseHook.get_connection

    def get_connection(conn_id: str) -> Any:
        return SimpleNamespace(get_hook=lambda: SqliteHook(file)) if conn_id == "hr" else found(conn_id)

    monkeypatch.setattr(BaseHook, "get_connection", staticmethod(get_connection))
    return connection


ALL = "SELECT email, dept FROM leavers"


def test_the_rows_of_a_query_are_payloads(database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_source, "_ROWS_AT_ONCE", 2)

    assert [record["result"] for record in batch(SqlRows("hr", ALL)).execute(context())] == PEOPLE
    few = SqlRows("hr", "SELECT email, left FROM leavers WHERE dept = ?", ["g"])
    (record,) = batch(few).execute(context())
    assert record["result"] == {"email": "grace@example.com", "left": date(2026, 1, 1).isoformat()}


def test_a_query_without_rows_is_a_batch_without_items(database: sqlite3.Connection, org: LocalOrg) -> None:
    assert batch(SqlRows("hr", f"{ALL} WHERE 0")).execute(context()) == []
    assert org.log == []


@pytest.mark.parametrize(
    ("sql", "error", "said"),
    [
        ("SELECT absent FROM leavers", OktaBatchFileError, "OperationalError.*no such column: absent"),
        ("DELETE FROM leavers", OktaConfigurationError, "returns no rows.*OKW-1548"),
        ("SELECT email, dept AS email FROM leavers", OktaConfigurationError, "the same name: 'email'.*OKW-1549"),
        ("SELECT dept FROM leavers", OktaConfigurationError, "There is no column 'email'.*OKW-1544.*Columns: 'dept'"),
    ],
)
def test_a_query_that_cannot_be_used_is_told(
    database: sqlite3.Connection, org: LocalOrg, sql: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=f"(?s){said}"):
        batch(SqlRows("hr", sql)).execute(context())
    assert org.log == []
    assert len(database.execute("SELECT 1 FROM leavers").fetchall()) == 5


def test_a_connection_that_is_not_a_database_is_refused() -> None:
    with pytest.raises(OktaConfigurationError, match="'okta_workflows_default' is not that of a database"):
        batch(SqlRows("okta_workflows_default", ALL)).execute(context())


def test_a_connection_of_an_unknown_type_is_refused_with_its_type(
    org: LocalOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HR", '{"conn_type": "nosuchdb", "host": "db.example.com"}')
    with pytest.raises(OktaConfigurationError, match=r"'hr' is of type 'nosuchdb', which this(.|\n)*OKW-1555"):
        batch(SqlRows("hr", ALL)).execute(context())
    with pytest.raises(AirflowNotFoundException, match="absent"):
        batch(SqlRows("absent", ALL)).execute(context())
    assert org.log == []


class ServerSideCursor:
    """Connection of a driver that reads all rows at once unless its cursor has a name."""

    description: Any = None

    def __init__(self) -> None:
        self.names: list[Any] = []
        self.rows = [tuple(person.values()) for person in PEOPLE]

    def cursor(self, name: str | None = None) -> ServerSideCursor:
        self.names.append(name)
        return self

    def execute(self, sql: str) -> None:
        pass

    def fetchmany(self, most: int) -> list[tuple[Any, ...]]:
        self.description = [("email",), ("dept",)]
        rows, self.rows = self.rows[:most], self.rows[most:]
        return rows

    def close(self) -> None:
        pass


def test_postgres_is_read_with_a_cursor_of_the_server(monkeypatch: pytest.MonkeyPatch, database: Any) -> None:
    connection = ServerSideCursor()
    monkeypatch.setattr(ServerSideCursor, "__module__", "psycopg2.extensions")
    monkeypatch.setattr(SqliteHook, "get_conn", lambda _: connection)

    records = batch(SqlRows("hr", ALL)).execute(context())

    assert [record["result"] for record in records] == PEOPLE
    assert connection.names == ["okta_workflows_batch"]


class Mappings(ServerSideCursor):
    """Cursor whose rows are mappings, as those of psycopg2's ``RealDictCursor`` are."""

    def fetchmany(self, most: int) -> list[Any]:
        return [{"dept": dept, "email": email} for email, dept in super().fetchmany(most)]


def test_rows_that_are_mappings_are_sent_with_their_values(monkeypatch: pytest.MonkeyPatch, database: Any) -> None:
    monkeypatch.setattr(Mappings, "__module__", "psycopg2.extensions")
    monkeypatch.setattr(SqliteHook, "get_conn", lambda _: Mappings())

    records = batch(SqlRows("hr", ALL)).execute(context())

    assert [record["result"] for record in records] == PEOPLE


@pytest.mark.parametrize("arguments", [("", ALL), ("hr", " "), (None, ALL), ("hr", None)])
def test_arguments_of_sql_rows_that_cannot_work_are_refused(arguments: Any) -> None:
    with pytest.raises(OktaConfigurationError, match="OKW-1647"):
        SqlRows(*arguments)


# ---- item_key


@pytest.mark.parametrize("payloads", [lambda tmp: path(tmp / "a.csv"), lambda tmp: SqlRows("hr", ALL)])
def test_a_file_and_a_query_without_item_key_are_refused_as_the_dag_is_parsed(tmp_path: Path, payloads: Any) -> None:
    with pytest.raises(OktaConfigurationError, match="OKW-1547"):
        batch(payloads(tmp_path), item_key=None)


def test_a_callable_that_returns_a_file_needs_an_item_key_too(tmp_path: Path) -> None:
    with pytest.raises(OktaConfigurationError, match="OKW-1547"):
        batch(lambda: csv_file(tmp_path), item_key=None).execute(context())


def test_templates_in_paths_and_queries_are_rendered(tmp_path: Path) -> None:
    with DAG("dag", schedule=None):
        task = batch(path(tmp_path / "{{ run_id }}.csv"), records_path=path(tmp_path / "{{ run_id }}.jsonl"))
        query = batch(SqlRows("{{ run_id }}", "SELECT '{{ run_id }}'", ["{{ run_id }}"]), task_id="query")
    given = context()
    task.render_template_fields(given)
    query.render_template_fields(given)

    assert (str(task.payloads), str(task.records_path)) == (
        f"file://{tmp_path}/run.csv",
        f"file://{tmp_path}/run.jsonl",
    )
    assert repr(query.payloads) == "SqlRows('run', \"SELECT 'run'\", ['run'])"


# ---- records in a file


def test_the_records_are_lines_of_json_in_order_and_the_xcom_says_where(tmp_path: Path, org: LocalOrg) -> None:
    org.flow("echo")(lambda request: ReturnError(500, "down") if request.body["dept"] == "b" else {"body": 1})
    out = tmp_path / "new" / "records.jsonl"

    xcom = batch(csv_file(tmp_path), records_path=path(out), on_error="collect").execute(context())

    assert xcom["path"] == f"file://{out}"
    assert xcom["counts"] == {"succeeded": 4, "failed": 1}
    (error,) = xcom["first_errors"]
    assert error.startswith("Item 2 (barbara@example.com): Flow 'echo' returned 500")
    assert "down" in error
    told = lines(out)
    assert [(record["index"], record["item"]) for record in told] == list(enumerate(EMAILS))
    assert list(told[0]) == ["index", "item", "key", "outcome", "status_code", "execution_id", "result", "error"]
    assert {record["key"] for record in told} == {run.idempotency_key for run in org.flows["echo"].runs}


def test_a_task_that_fails_has_its_records_in_the_file_too(tmp_path: Path, org: LocalOrg) -> None:
    org.flow("echo")(lambda request: ReturnError(500, "down") if request.body["dept"] == "b" else {})
    out, given = tmp_path / "records.jsonl", context()

    with pytest.raises(OktaFlowFailedError, match=r"(?s)1 of 5 .*Item 2 \(barbara@example\.com\): "):
        batch(csv_file(tmp_path), records_path=str(path(out))).execute(given)

    assert [record["outcome"] for record in lines(out)].count("failed") == 1
    assert given["ti"].pushed["records"]["counts"] == {"succeeded": 4, "failed": 1}


def test_where_a_file_cannot_be_appended_to_it_is_joined_from_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_file, "_APPENDS", ())
    monkeypatch.setattr(records_file, "_PART", 1)
    monkeypatch.setattr(records_file, "_AT_ONCE", 400)
    out = tmp_path / "records.jsonl"
    for number in range(3):
        (tmp_path / f"records.jsonl.part-{number:05}").write_text("of a try that was cut off")

    batch(csv_file(tmp_path), records_path=path(out)).execute(context())

    assert [record["item"] for record in lines(out)] == EMAILS
    assert sorted(file.name for file in tmp_path.iterdir()) == ["leavers.csv", "records.jsonl"]


class FullDisk(records_file.RecordsFile):
    room = 700
    written = 0

    def append(self, lines: bytes) -> None:
        self.written += len(lines)
        if self.written > self.room:
            with self._as_file_errors(records_file._MAKE_ROOM):
                raise OSError(28, "No space left on device")
        super().append(lines)


def test_a_full_disk_for_the_records_ends_the_try_and_the_next_sends_nothing_twice(
    tmp_path: Path, org: LocalOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, out = Store(), tmp_path / "records.jsonl"
    monkeypatch.setattr(records_file, "_WRITTEN_AFTER", 0)
    with monkeypatch.context() as patched:
        patched.setattr(records_file, "RecordsFile", FullDisk)
        with pytest.raises(OktaBatchFileError, match="No space left on device"):
            batch(csv_file(tmp_path), records_path=path(out), max_in_flight=1, max_rate=50).execute(with_store(store))
    assert 3 <= len(org.log) <= 5

    batch(csv_file(tmp_path), records_path=path(out)).execute(with_store(store, try_number=2))

    assert [(record["item"], record["outcome"]) for record in lines(out)] == [(one, "succeeded") for one in EMAILS]
    assert runs(org) == Counter(EMAILS)


@pytest.mark.parametrize("as_url", [True, False])
def test_the_file_of_the_payloads_is_not_replaced_by_the_records(tmp_path: Path, org: LocalOrg, as_url: bool) -> None:
    payloads = csv_file(tmp_path)
    (tmp_path / "link.csv").symlink_to(tmp_path / "leavers.csv")
    same = f"file://{tmp_path}/leavers.csv" if as_url else path(tmp_path / "link.csv")

    with pytest.raises(OktaConfigurationError, match="the file of the payloads"):
        batch(payloads, records_path=same).execute(context())
    assert (tmp_path / "leavers.csv").read_text() == csv_of(PEOPLE)
    assert org.log == []


def mapped(records_path: str, map_index: int) -> Any:
    """Execute one of several mapped tasks; return its XCom."""
    with DAG("dag", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        task = InvokeOktaFlowBatchOperator.partial(
            task_id="task", flow="echo", item_key="email", max_rate=2000, records_path=records_path
        ).expand(payloads=[PEOPLE[:2], PEOPLE[2:]])
    given: Any = {**context(map_index=map_index), "dag": dag}
    one = batch(
        [PEOPLE[:2], PEOPLE[2:]][map_index], records_path=records_path.replace("{{ ti.map_index }}", str(map_index))
    )
    assert task.task_id == one.task_id
    return one.execute(given)


def test_mapped_tasks_do_not_share_a_file_of_records(tmp_path: Path, org: LocalOrg) -> None:
    with pytest.raises(OktaConfigurationError, match="the same file for each mapped task"):
        mapped(f"{tmp_path}/records.jsonl", 0)
    assert org.log == []

    for number in (0, 1):
        mapped(f"{tmp_path}/records-{{{{ ti.map_index }}}}.jsonl", number)
    assert [len(lines(tmp_path / f"records-{number}.jsonl")) for number in (0, 1)] == [2, 3]


@pytest.mark.parametrize("after", EMAILS)
@pytest.mark.parametrize("meanwhile", ["written by another task", "deleted"])
def test_a_file_of_records_that_another_process_changes_ends_the_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: str, after: str
) -> None:
    file, store = tmp_path / "records.jsonl", Store()

    def append(self: RecordsFile, lines: bytes, append: Any = RecordsFile.append) -> None:
        append(self, lines)
        if after.encode() in lines:
            file.write_text("{}\n") if meanwhile != "deleted" else file.unlink()

    given: Any = {"records_path": str(file)}
    with monkeypatch.context() as patch:
        patch.setattr(records_file, "_AT_ONCE", 1)  # so that each line is written alone
        patch.setattr(RecordsFile, "append", append)
        with pytest.raises(OktaBatchFileError, match="another process has changed the file or deleted it"):
            batch(PEOPLE, **given).execute(with_store(store))

    batch(PEOPLE, **given).execute(with_store(store, try_number=2))
    assert [record["item"] for record in lines(file)] == EMAILS


def test_a_retry_that_gets_no_token_leaves_the_records_of_what_has_run(
    tmp_path: Path, org: LocalOrg, connect: Connect
) -> None:
    store, file = Store(), tmp_path / "records.jsonl"
    org.flow("echo")(lambda request: ReturnError(500, "no") if request.body["dept"] == "g" else {"body": request.body})
    with pytest.raises(OktaFlowFailedError):
        batch(PEOPLE, records_path=str(file)).execute(with_store(store))

    connect(org, scope="okta.workflows.invoke.others")
    given = with_store(store, try_number=2)
    with pytest.raises(OktaTokenRefusedError):
        batch(PEOPLE, records_path=str(file)).execute(given)
    assert Counter(record["outcome"] for record in lines(file)) == {"succeeded": 4, "not_sent": 1}
    assert given["ti"].pushed["records"]["counts"] == {"succeeded": 4, "not_sent": 1}


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_of_the_local_disk_may_be_written_as_one(tmp_path: Path, kind: Callable[[Path], Any]) -> None:
    batch(PEOPLE, records_path=kind(tmp_path / "records.jsonl")).execute(context())

    assert [record["item"] for record in lines(tmp_path / "records.jsonl")] == EMAILS


@pytest.mark.parametrize("wrong", [7, ["records.jsonl"]])
def test_what_is_no_path_is_refused_and_nothing_is_sent(org: LocalOrg, wrong: Any) -> None:
    with pytest.raises(OktaConfigurationError, match="records_path is not a path"):
        batch(PEOPLE, records_path=wrong).execute(context())
    assert org.log == []


def test_a_file_system_that_airflow_does_not_know_is_told_before_anything_is_sent(org: LocalOrg) -> None:
    with pytest.raises(OktaBatchFileError, match="No filesystem registered for scheme memory"):
        batch(PEOPLE, records_path="memory://there/records.jsonl").execute(context())
    assert org.flows["echo"].runs == []


def test_a_records_path_that_airflow_cannot_open_is_refused(tmp_path: Path, org: LocalOrg) -> None:
    # Airflow 2.11 takes any path, and opens none.
    with pytest.raises((OktaConfigurationError, OktaBatchFileError), match=r"OKW-1648|OKW-1651"):
        batch(csv_file(tmp_path), records_path="nosuch://conn@bucket/records.jsonl").execute(context())
    assert org.log == []


def test_records_that_cannot_be_written_are_told_before_anything_is_sent(tmp_path: Path, org: LocalOrg) -> None:
    (tmp_path / "taken").write_text("a file, not a directory")

    with pytest.raises(OktaBatchFileError, match=r"cannot be written.*\n.*OKW-1651"):
        batch(csv_file(tmp_path), records_path=path(tmp_path / "taken" / "records.jsonl")).execute(context())
    assert org.log == []


# ---- what is left in the state store


def test_a_batch_that_has_ended_leaves_one_row_with_its_xcom_and_is_not_sent_again(
    tmp_path: Path, org: LocalOrg
) -> None:
    store, file, out = Store(), csv_file(tmp_path), path(tmp_path / "records.jsonl")
    first = batch(file, records_path=out).execute(with_store(store))
    file.unlink()

    again = batch(file, records_path=out).execute(with_store(store, try_number=2))

    assert first == again
    assert list(store) == ["okta_workflows_batch_0"]
    assert store["okta_workflows_batch_0"]["done"] == first
    assert len(org.log) == 5
    batch(csv_file(tmp_path), records_path=out).execute(with_store(store, max_tries=4))
    assert len(org.log) == 10, "a task that is cleared sends all items again"


def test_a_try_that_was_cut_off_while_it_deleted_its_rows_is_done(tmp_path: Path, org: LocalOrg) -> None:
    class CutOff(Store):
        def delete(self, key: str) -> None:
            if len(self) == 2:
                raise OSError("killed")
            super().delete(key)

    store = CutOff()
    many = [{"email": f"{number}@example.com"} for number in range(130)]
    batch(many, records_path=path(tmp_path / "records.jsonl")).execute(with_store(store))
    assert len(store) == 2

    left = Store(store)
    xcom = batch(many, records_path=path(tmp_path / "records.jsonl")).execute(with_store(left))

    assert list(left) == ["okta_workflows_batch_0"]
    assert xcom["counts"] == {"succeeded": 130}
    assert len(org.log) == 130


def test_pages_whose_items_are_settled_are_not_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    write = checkpoints.BatchCheckpointStore._store_all

    def measured(self: Any, pages: Any) -> None:
        nonlocal most
        most = max(most, len(self._pages))
        write(self, pages)

    monkeypatch.setattr(checkpoints.BatchCheckpointStore, "_store_all", measured)
    store = StoreOfACutOffTask()
    many = [{"email": f"{number}@example.com"} for number in range(800)]

    batch(many, max_rate=100, max_in_flight=5).execute(with_store(store))

    assert len(store) == 20
    assert most <= 7, "those of what is under way, and of the last second"


# ---- input that cannot be used


@pytest.mark.parametrize(
    ("name", "text", "error", "said"),
    [
        ("a.csv", None, OktaBatchFileError, "cannot be read: No such file or directory.*OKW-1653.*a.csv"),
        ("a.csv", "", OktaConfigurationError, "The file is empty.*OKW-1546"),
        ("a.jsonl", "", OktaConfigurationError, "The file is empty.*OKW-1546"),
        ("a.json", "", OktaConfigurationError, "The file is empty.*OKW-1546"),
        ("a.csv", "mail,dept\n", OktaConfigurationError, "There is no column 'email'.*OKW-1544.*'mail', 'dept'"),
        ("a.xlsx", "PK", OktaConfigurationError, "does not show the format of the payloads.*OKW-1540"),
        ("a.json", "[1", OktaConfigurationError, "cannot be read from line 1 on.*OKW-1542"),
        ("a.csv", csv_of([*PEOPLE, PEOPLE[1]]), OktaConfigurationError, "Lines 3 and 7 have the same item_key"),
        ("a.csv", "email,dept\na,b\nc\n", OktaConfigurationError, "1 of 2 payloads.*Line 3: It has 1 cells"),
        ("a.jsonl", '{"email": "a"}\nnope', OktaConfigurationError, "Line 2: It is not JSON"),
        ("a.jsonl", '{"email": "a"}\n{}', OktaConfigurationError, "Line 2: item_key 'email' gives NoneType"),
        ("a.json", '[{"email": "a"},{}]', OktaConfigurationError, r"Element 2 \(line 1\): item_key 'email' gives"),
        (
            "a.json",
            json.dumps([*PEOPLE, PEOPLE[1]]),
            OktaConfigurationError,
            r"Elements 2 \(line 1\) and 6 \(line 1\) have the same item_key",
        ),
        (
            "a.json",
            json.dumps([*PEOPLE, PEOPLE[1]], indent=1),
            OktaConfigurationError,
            r"Elements 2 \(line 6\) and 6 \(line 22\) have the same item_key",
        ),
    ],
)
def test_a_source_that_cannot_be_used_is_told_and_nothing_is_sent(
    tmp_path: Path, org: LocalOrg, name: str, text: str | None, error: type[Exception], said: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(error, match=f"(?s){said}") as caught:
        batch(path(tmp_path / name)).execute(context())

    assert org.log == []
    assert len(str(caught.value).splitlines()[0]) <= 120


def test_an_error_without_a_reason_of_its_own_is_told_with_what_it_says(tmp_path: Path, org: LocalOrg) -> None:
    packed = gzip.compress(csv_of(PEOPLE * 100).encode())
    (tmp_path / "a.csv.gz").write_bytes(packed[:20] + b"\xff\xff" + packed[22:])

    with pytest.raises(OktaBatchFileError, match=r"cannot be read: zlib\.error\.(.|\n)*The error says: Error -3"):
        batch(path(tmp_path / "a.csv.gz")).execute(context())
    assert org.log == []


def test_a_path_without_its_file_system_is_told_without_its_query(org: LocalOrg) -> None:
    with pytest.raises(OktaBatchFileError, match="The error says: No filesystem registered for scheme http") as caught:
        batch(ObjectStoragePath("http://127.0.0.1:1/a.csv?sig=s3cret")).execute(context())
    assert "s3cret" not in f"{caught.value}{vars(caught.value)}"
    assert org.log == []


def test_a_gzip_file_that_is_cut_off_is_told_and_may_be_tried_again(tmp_path: Path, org: LocalOrg) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(os.urandom(50_000).hex().encode())[:-20_000])
    with pytest.raises(OktaBatchFileError, match="EOFError"):
        batch(path(tmp_path / "a.csv.gz")).execute(context())
    assert org.log == []


def test_with_collect_each_bad_row_is_a_failed_record_with_its_line(tmp_path: Path, org: LocalOrg) -> None:
    file = csv_file(tmp_path, csv_of(PEOPLE[:2]) + "short\n" + csv_of(PEOPLE[1:])[len("email,dept\n") :])

    told = batch(file, on_error="collect").execute(context())

    assert [record["outcome"] for record in told] == ["succeeded"] * 2 + ["failed"] * 2 + ["succeeded"] * 3
    assert told[2]["error"] == "Line 4: It has 1 cells, and the header 2."
    assert told[3]["error"] == "Lines 3 and 5 have the same item_key."
    assert [(record["item"], record["key"]) for record in told[2:4]] == [(None, None), ("alan@example.com", None)]
    assert runs(org) == Counter(EMAILS)


def test_a_line_that_is_too_large_is_one_bad_row(
    tmp_path: Path, org: LocalOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (batch_source, sources):
        monkeypatch.setattr(module, "LARGEST_ROW", 100)
    large = {"email": "large", "text": "x" * 1000}
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, [PEOPLE[0], large, *PEOPLE[1:]])))

    told = batch(path(tmp_path / "a.jsonl"), on_error="collect").execute(context())

    assert [record["item"] for record in told] == [EMAILS[0], None, *EMAILS[1:]]
    assert told[1]["error"].startswith("Line 2: It has more than")
    assert runs(org) == Counter(EMAILS)


def test_an_item_that_is_twice_in_a_list_on_one_line_is_sent_once(tmp_path: Path, org: LocalOrg) -> None:
    (tmp_path / "a.json").write_text(json.dumps([*PEOPLE, PEOPLE[1]]))

    told = batch(path(tmp_path / "a.json"), on_error="collect").execute(context())

    assert told[5]["error"] == "Elements 2 (line 1) and 6 (line 1) have the same item_key."
    assert runs(org) == Counter(EMAILS)


# ---- another try


def test_a_source_that_has_changed_sends_what_is_new_and_reports_what_is_gone(tmp_path: Path, org: LocalOrg) -> None:
    store, out = StoreOfACutOffTask(), tmp_path / "records.jsonl"
    batch(csv_file(tmp_path), records_path=path(out)).execute(with_store(store))
    eve = {"email": "eve@example.com", "dept": "e"}

    xcom = batch(csv_file(tmp_path, csv_of([eve, PEOPLE[4], PEOPLE[0]])), records_path=path(out)).execute(
        with_store(store, try_number=2)
    )

    told = lines(out)
    assert [(record["index"], record["item"]) for record in told[:3]] == [
        (0, eve["email"]),
        (1, EMAILS[4]),
        (2, EMAILS[0]),
    ]
    assert {(record["index"], record["item"], record["outcome"]) for record in told[3:]} == {
        (None, email, "succeeded") for email in EMAILS[1:4]
    }
    assert xcom["counts"] == {"succeeded": 6}
    assert runs(org) == Counter([*EMAILS, eve["email"]])


def test_an_item_of_unknown_outcome_that_is_gone_is_not_forgotten(tmp_path: Path, org: LocalOrg) -> None:
    store = Store()
    org.inject(Reset(), flow="echo")
    with pytest.raises(OktaFlowFailedError):
        batch(csv_file(tmp_path), max_in_flight=1, success_when="body.dept != 'b'").execute(with_store(store))

    told = batch(csv_file(tmp_path, csv_of(PEOPLE[1:])), on_error="collect").execute(with_store(store, try_number=2))

    assert (told[-1]["index"], told[-1]["item"], told[-1]["outcome"]) == (None, EMAILS[0], "unknown")


def test_a_retry_writes_the_file_from_its_beginning(tmp_path: Path, org: LocalOrg) -> None:
    failures = [ReturnError(500, "down")]
    org.flow("echo")(
        lambda request: failures.pop() if request.body["dept"] == "b" and failures else {"body": request.body}
    )
    store, out = Store(), tmp_path / "records.jsonl"
    with pytest.raises(OktaFlowFailedError):
        batch(csv_file(tmp_path), records_path=path(out)).execute(with_store(store))
    first = lines(out)

    batch(csv_file(tmp_path), records_path=path(out)).execute(with_store(store, try_number=2))

    again = lines(out)
    assert [record["result"] for record in again] == PEOPLE
    assert [one == other for one, other in zip(first, again, strict=True)] == [True, True, False, True, True]
    assert again[2]["key"] != first[2]["key"], "the last one that was sent"
    assert [count for _, count in sorted(runs(org).items())] == [1, 1, 2, 1, 1]
