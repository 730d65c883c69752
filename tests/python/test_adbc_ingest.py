"""adbc_ingest: modes, schemas, temporary tables, streams, atomicity."""

from __future__ import annotations

from collections.abc import Iterator

import adbc_driver_flightsql.dbapi
import adbc_driver_manager
import adbc_driver_manager.dbapi
import pyarrow as pa
import pytest
from support import data
from support.server import Server

Connection = adbc_driver_manager.dbapi.Connection


def ingest(connection: Connection, table: str, rows: object, mode: str = "create", **options: object) -> int:
    with connection.cursor() as cursor:
        return cursor.adbc_ingest(table, rows, mode=mode, **options)


def count(connection: Connection, table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return cursor.fetchone()[0]


def test_create(adbc: Connection, table: str) -> None:
    assert ingest(adbc, table, data.small(10)) == 10
    assert count(adbc, table) == 10
    with pytest.raises(adbc_driver_manager.Error, match="(?i)exists"):
        ingest(adbc, table, data.small(10))
    assert count(adbc, table) == 10


def test_append(adbc: Connection, table: str) -> None:
    with pytest.raises(adbc_driver_manager.Error, match=table):
        ingest(adbc, table, data.small(10), "append")
    ingest(adbc, table, data.small(10))
    assert ingest(adbc, table, data.small(5), "append") == 5
    assert count(adbc, table) == 15


def test_replace(adbc: Connection, table: str) -> None:
    assert ingest(adbc, table, data.small(10), "replace") == 10
    assert ingest(adbc, table, pa.table({"other": [1, 2]}), "replace") == 2
    with adbc.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} ORDER BY 1")
        assert cursor.fetch_arrow_table().to_pydict() == {"other": [1, 2]}


def test_create_append(adbc: Connection, table: str) -> None:
    assert ingest(adbc, table, data.small(10), "create_append") == 10
    assert ingest(adbc, table, data.small(10), "create_append") == 10
    assert count(adbc, table) == 20


def test_temporary(server: Server, adbc: Connection, table: str) -> None:
    ingest(adbc, table, data.small(10), temporary=True)
    assert count(adbc, table) == 10
    ingest(adbc, table, data.small(5), "append", temporary=True)
    assert count(adbc, table) == 15
    with adbc_driver_flightsql.dbapi.connect(server.url, autocommit=True) as other:
        with pytest.raises(adbc_driver_manager.Error, match=table):
            count(other, table)


def test_a_temporary_table_hides_a_dataset_of_its_name(adbc: Connection, table: str) -> None:
    ingest(adbc, table, data.small(10))
    ingest(adbc, table, data.small(3), temporary=True)
    assert count(adbc, table) == 3
    assert count(adbc, f"public.{table}") == 10


def test_into_a_schema(adbc: Connection, table: str) -> None:
    with adbc.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA s_{table}")
    ingest(adbc, table, data.small(10), db_schema_name=f"s_{table}")
    assert count(adbc, f"s_{table}.{table}") == 10
    ingest(adbc, table, data.small(10), "append", catalog_name="skein", db_schema_name=f"s_{table}")
    assert count(adbc, f"s_{table}.{table}") == 20


def test_a_stream_larger_than_one_message(adbc: Connection, table: str) -> None:
    schema = data.small().schema

    def batches() -> Iterator[pa.RecordBatch]:
        for _ in range(50):
            yield from data.small(20_000).to_batches()

    assert ingest(adbc, table, pa.RecordBatchReader.from_batches(schema, batches())) == 1_000_000
    assert count(adbc, table) == 1_000_000


def test_a_stream_that_fails_leaves_nothing(adbc: Connection, table: str) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from data.small(20_000).to_batches()
        raise ValueError("the source broke")

    with pytest.raises(Exception, match="the source broke"):
        ingest(adbc, table, pa.RecordBatchReader.from_batches(data.small().schema, batches()))
    with pytest.raises(adbc_driver_manager.Error, match=table):
        count(adbc, table)


def test_every_type(adbc: Connection, table: str) -> None:
    rows = data.every_type()
    assert ingest(adbc, table, rows) == 3
    with adbc.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        got = cursor.fetch_arrow_table()
    for name in rows.column_names:
        assert got[name].to_pylist() == rows[name].to_pylist(), name


def test_an_empty_table(adbc: Connection, table: str) -> None:
    """The driver sends nothing at all, not even the table's name, for a stream without a batch; an empty batch is enough."""
    with pytest.raises(adbc_driver_manager.Error, match="stream is empty"):
        ingest(adbc, table, data.small(0))
    batch = pa.RecordBatch.from_pylist([], schema=data.small().schema)
    assert ingest(adbc, table, pa.RecordBatchReader.from_batches(batch.schema, [batch])) == 0
    assert count(adbc, table) == 0
    assert adbc.adbc_get_table_schema(table).names == ["id", "name", "value"]


def test_a_wrong_type_is_refused_and_named(adbc: Connection, table: str) -> None:
    ingest(adbc, table, data.small(10))
    with pytest.raises(adbc_driver_manager.Error, match="id"):
        ingest(adbc, table, pa.table({"id": ["not a number"]}), "append")
    assert count(adbc, table) == 10


def test_concurrent_appends_all_land(server: Server, adbc: Connection, table: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    ingest(adbc, table, data.small(10))

    def append(_: int) -> None:
        with adbc_driver_flightsql.dbapi.connect(server.url, autocommit=True) as connection:
            for _ in range(5):
                ingest(connection, table, data.small(10), "append")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(8)))
    assert count(adbc, table) == 410
