"""Our own package: connect, SQL in every shape, ingest, files, actions, errors."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import skein_flight
from skein_flight import Progress, errors
from support import data
from support.server import ROOT, Server

Connection = skein_flight.Connection


def test_all_shapes_of_a_result(skein: Connection) -> None:
    query = "SELECT 1 AS a, 'x' AS b"
    assert skein.sql(query).arrow().to_pylist() == [{"a": 1, "b": "x"}]
    assert skein.sql(query).polars().rows() == [(1, "x")]
    assert skein.sql(query).pandas().values.tolist() == [[1, "x"]]
    assert skein.sql(query).fetchall() == [(1, "x")]
    assert [batch.num_rows for batch in skein.sql(query).batches()] == [1]
    assert skein.sql(query).reader().read_all().num_rows == 1
    assert pl.DataFrame(skein.sql(query)).rows() == [(1, "x")]
    assert skein.sql(query).schema.names == ["a", "b"]
    assert skein.sql("SELECT 42").scalar() == 42


def test_a_result_is_read_once(skein: Connection) -> None:
    result = skein.sql("SELECT 1")
    result.arrow()
    with pytest.raises(errors.InvalidInputError, match="run the query again"):
        result.arrow()


def test_a_result_can_be_left(skein: Connection) -> None:
    with skein.sql("SELECT * FROM generate_series(1, 100000000)") as result:
        next(result.batches())
    assert skein.sql("SELECT 1").scalar() == 1


def test_several_results_at_once(skein: Connection) -> None:
    results = [skein.sql("SELECT ? AS n", [n]) for n in range(5)]
    assert [result.scalar() for result in reversed(results)] == [4, 3, 2, 1, 0]


def test_execute_counts(skein: Connection, table: str) -> None:
    assert skein.execute(f"CREATE TABLE {table} (a BIGINT, b VARCHAR)") == 0
    assert skein.execute(f"INSERT INTO {table} VALUES (1, 'x'), (2, 'y')") == 2
    assert skein.execute(f"INSERT INTO {table} VALUES (?, ?)", [3, "z"]) == 1
    assert skein.execute(f"INSERT INTO {table} VALUES (?, ?)", [(4, "u"), (5, "v")]) == 2
    assert skein.sql(f"SELECT count(*) FROM {table}").scalar() == 5


INGESTABLE = {
    "table": data.small(3),
    "batch": data.small(3).to_batches()[0],
    "dict": data.small(3).to_pydict(),
    "polars": pl.DataFrame(data.small(3)),
    "pandas": data.small(3).to_pandas(),
}


@pytest.mark.parametrize("kind", INGESTABLE)
def test_ingest(skein: Connection, table: str, kind: str) -> None:
    assert skein.ingest(table, INGESTABLE[kind]) == 3
    assert skein.ingest(table, INGESTABLE[kind]) == 3
    assert skein.sql(f"SELECT count(*), max(name) FROM {table}").fetchall() == [(6, "row 2")]
    with pytest.raises(errors.AlreadyExistsError):
        skein.ingest(table, INGESTABLE[kind], "create")


def test_ingest_an_empty_table(skein: Connection, table: str) -> None:
    assert skein.ingest(table, data.small(0), "create") == 0
    assert skein.sql(f"SELECT * FROM {table}").schema.names == ["id", "name", "value"]


def test_ingest_a_reader(skein: Connection, table: str) -> None:
    reader = pa.RecordBatchReader.from_batches(data.small().schema, data.small(1000).to_batches(max_chunksize=100))
    assert skein.ingest(table, reader, "create") == 1000


def test_ingest_what_it_cannot(skein: Connection, table: str) -> None:
    with pytest.raises(errors.InvalidInputError, match="cannot ingest a int"):
        skein.ingest(table, 5)
    with pytest.raises(errors.InvalidInputError, match="mode 'upsert'"):
        skein.ingest(table, data.small(), "upsert")


def test_temporary_tables_stay_in_the_connection(server: Server, skein: Connection, table: str) -> None:
    skein.ingest(table, data.small(3), temporary=True)
    assert skein.sql(f"SELECT count(*) FROM {table}").scalar() == 3
    with skein_flight.connect(server.url) as other, pytest.raises(errors.NotFoundError):
        other.sql(f"SELECT count(*) FROM {table}")


def test_ingest_file(skein: Connection, table: str, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,name\n1,Ada\n2,Grace\n")
    report = skein.ingest_file(path, table)
    assert (report.rows, report.duplicate, report.dataset) == (2, False, f"public.{table}")
    assert skein.ingest_file(path, table).duplicate is True
    assert skein.sql(f"SELECT * FROM {table} ORDER BY id").fetchall() == [(1, "Ada"), (2, "Grace")]
    assert skein.ingest_file(path, table, force=True).duplicate is False
    assert skein.sql(f"SELECT count(*) FROM {table}").scalar() == 4


class Halting(io.BytesIO):
    """A file whose end comes only after the server has told of rows."""

    def __init__(self, content: bytes, told: threading.Event) -> None:
        super().__init__(content)
        self.told = told

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > len(self.getbuffer()) // 2:
            assert self.told.wait(60), "no progress was told"
        return super().read(size)


def test_ingest_an_open_file_with_progress(skein: Connection, table: str) -> None:
    seen: list[Progress] = []
    told = threading.Event()

    def progress(now: Progress) -> None:
        seen.append(now)
        if now.rows:
            told.set()

    lines = "n,text\n" + "".join(f"{n},{'x' * 50}\n" for n in range(300_000))
    report = skein.ingest_file(Halting(lines.encode(), told), table, "create", format="csv", progress=progress)
    assert report.rows == 300_000
    assert 0 < seen[-1].rows <= 300_000 and 0 < seen[-1].bytes <= len(lines)
    assert all(a.rows <= b.rows and a.bytes <= b.bytes for a, b in zip(seen, seen[1:], strict=False))


def test_tables_and_actions(skein: Connection, table: str) -> None:
    skein.ingest(table, data.small())
    skein.execute(f"CREATE VIEW {table}_v AS SELECT 1 AS a")
    found = {entry.name: entry for entry in skein.tables()}
    assert found[table].schema == "public" and found[f"{table}_v"].type == "VIEW"
    assert "datasets" in {entry.name for entry in skein.tables("system")}
    assert {"dataset.drop", "dataset.verify"} <= {action.name for action in skein.actions()}
    assert skein.action("dataset.drop", {"dataset": table})["dropped"] is True
    assert table not in {entry.name for entry in skein.tables()}


def test_the_fast_encoding_is_a_choice_of_the_session(skein: Connection, table: str) -> None:
    skein.ingest(table, {"s": ["short", "longer than twelve bytes"]})
    assert skein.sql(f"SELECT s FROM {table}").schema.types == [pa.string()]
    skein.execute("SET encoding = 'fast'")
    result = skein.sql(f"SELECT s FROM {table} ORDER BY s")
    assert result.schema.types == [pa.string_view()]
    assert result.polars()["s"].to_list() == ["longer than twelve bytes", "short"]


def test_dbapi_is_at_hand(skein: Connection) -> None:
    with skein.dbapi() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


ERRORS = {
    "SELEC": errors.InvalidInputError,
    "SELECT * FROM no_such_table": errors.NotFoundError,
    "SELECT no_such_column FROM (SELECT 1 AS a)": errors.InvalidInputError,
    "GRANT SELECT ON no_such_table TO me": errors.NotSupportedError,
}


@pytest.mark.parametrize("query", ERRORS)
def test_errors(skein: Connection, query: str) -> None:
    with pytest.raises(ERRORS[query]) as caught:
        skein.sql(query).fetchall()
    assert not str(caught.value).startswith(("IO:", "INVALID_ARGUMENT", "Flight returned"))
    assert "Vendor code" not in str(caught.value)
    assert caught.value.__cause__ is not None
    assert skein.sql("SELECT 1").scalar() == 1


def test_errors_of_actions(skein: Connection) -> None:
    with pytest.raises(errors.NotFoundError, match="no_such_table"):
        skein.action("dataset.drop", {"dataset": "no_such_table"})
    with pytest.raises(errors.SkeinError, match="dataset.explode"):
        skein.action("dataset.explode")


def test_nobody_is_listening() -> None:
    with pytest.raises(errors.UnavailableError):
        skein_flight.connect("grpc://127.0.0.1:1")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"url": "http://127.0.0.1:8815"}, "grpc://HOST:PORT"),
        ({"user": "ada"}, "no password"),
        ({"user": "ada", "password": "x", "token": "y"}, "choose one"),
        ({"tls_ca": b"pem"}, "grpc\\+tls"),
        ({"url": "grpc+tls://h:1", "tls_cert": b"pem"}, "both tls_cert and tls_key"),
        ({"url": "grpc+tls://h:1", "tls_ca": "no/such/file.pem"}, "cannot read"),
    ],
)
def test_contradictions_are_named(arguments: dict, text: str) -> None:
    with pytest.raises(errors.InvalidInputError, match=text):
        skein_flight.connect(**arguments)


def test_the_environment_fills_in(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKEIN_URL", server.url)
    with skein_flight.connect() as connection:
        assert connection.settings.url == server.url
    monkeypatch.setenv("SKEIN_TOKEN", "secret-token")
    settings = skein_flight.Settings.resolve(
        None, user=None, password=None, token=None, tls_ca=None, tls_cert=None, tls_key=None, tls_skip_verify=False
    )
    assert settings.token == "secret-token" and "secret-token" not in repr(settings)


def test_a_connection_for_each_thread(server: Server) -> None:
    answers: list[int] = []

    def work(n: int) -> None:
        with skein_flight.connect(server.url) as connection:
            answers.append(connection.sql("SELECT ? * 2", [n]).scalar())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [2 * n for n in range(8)]


def test_the_package_builds_and_is_typed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*command, str(ROOT / "clients" / "python")], check=True, timeout=120)
    (wheel,) = tmp_path.glob("skein_flight-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "skein_flight/py.typed" in names and "skein_flight/connection.py" in names


def test_pandas_frame_from_rows_with_no_columns(skein: Connection) -> None:
    assert isinstance(skein.sql("SELECT 1 AS a WHERE false").pandas(), pd.DataFrame)
