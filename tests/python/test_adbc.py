"""ADBC through DBAPI: queries, parameters, updates, errors."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import adbc_driver_flightsql.dbapi
import adbc_driver_manager
import adbc_driver_manager.dbapi
import pyarrow as pa
import pytest
from support import data
from support.server import Server

Connection = adbc_driver_manager.dbapi.Connection


def rows(connection: Connection, query: str, parameters: object = None) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


def test_fetch_in_all_ways(adbc: Connection) -> None:
    with adbc.cursor() as cursor:
        cursor.execute("SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (3, 'c')) AS t(n, s) ORDER BY n")
        assert [column[0] for column in cursor.description] == ["n", "s"]
        assert cursor.fetchone() == (1, "a")
        assert cursor.fetchmany(1) == [(2, "b")]
        assert cursor.fetchall() == [(3, "c")]
        assert cursor.fetchone() is None


def test_fetch_arrow(adbc: Connection) -> None:
    with adbc.cursor() as cursor:
        cursor.execute("SELECT 1 AS n, 'x' AS s")
        table = cursor.fetch_arrow_table()
        assert table.to_pylist() == [{"n": 1, "s": "x"}] and table.schema.types == [pa.int64(), pa.string()]


def test_record_batches_stream(adbc: Connection) -> None:
    with adbc.cursor() as cursor:
        cursor.execute("SELECT value FROM generate_series(1, 1000000)")
        reader = cursor.fetch_record_batch()
        batches = list(reader)
        assert len(batches) > 1
        assert sum(batch.num_rows for batch in batches) == 1_000_000


def test_an_empty_result_has_its_schema(adbc: Connection) -> None:
    with adbc.cursor() as cursor:
        cursor.execute("SELECT 1 AS n, 'x' AS s WHERE false")
        table = cursor.fetch_arrow_table()
        assert table.num_rows == 0 and table.column_names == ["n", "s"]


def test_a_result_with_no_columns_worth_of_names(adbc: Connection) -> None:
    """Two columns of one name are two columns."""
    with adbc.cursor() as cursor:
        cursor.execute("SELECT a.n, b.n FROM (SELECT 1 AS n) a, (SELECT 2 AS n) b")
        assert cursor.fetchall() == [(1, 2)]


PARAMETERS = [
    True,
    42,
    -(2**63),
    1.5,
    "text with 'quotes' and 🦢",
    "",
    b"\x00\x01",
    dt.date(2024, 2, 29),
    dt.time(12, 34, 56, 789000),
    dt.datetime(2024, 2, 29, 12, 34, 56, 789000),
    Decimal("123.45"),
]


@pytest.mark.parametrize("value", PARAMETERS, ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("placeholder", ["?", "$1"])
def test_parameter_types(adbc: Connection, placeholder: str, value: object) -> None:
    ((got,),) = rows(adbc, f"SELECT {placeholder} AS v", (value,))
    assert got == value


def test_null_parameter(adbc: Connection) -> None:
    assert rows(adbc, "SELECT ? IS NULL", (None,)) == [(True,)]


def test_a_datetime_with_a_zone(adbc: Connection) -> None:
    moment = dt.datetime(2024, 2, 29, 12, 0, tzinfo=dt.UTC)
    ((got,),) = rows(adbc, "SELECT ? AS v", (moment,))
    assert got.astimezone(dt.UTC) == moment


ARROW_PARAMETERS = data.every_type()


@pytest.mark.parametrize("name", ARROW_PARAMETERS.column_names)
def test_arrow_parameter_types(adbc: Connection, name: str) -> None:
    """Each Arrow type, bound as it is and sent back as it is."""
    column = ARROW_PARAMETERS[name].combine_chunks().slice(0, 1)
    with adbc.cursor() as cursor:
        cursor.execute("SELECT $1 AS v", pa.record_batch([column], names=["1"]))
        got = cursor.fetch_arrow_table()["v"].to_pylist()
    assert got == column.to_pylist()


def test_parameters_are_typed_by_use(adbc: Connection, table: str) -> None:
    with adbc.cursor() as cursor:
        cursor.adbc_ingest(table, data.small(10), mode="create")
    assert rows(adbc, f"SELECT name FROM {table} WHERE id = ?", (3,)) == [("row 3",)]
    assert rows(adbc, f"SELECT id FROM {table} WHERE value > ? AND name < ? ORDER BY id", (1.9, "row 9")) == [(8,)]


def test_more_than_nine_parameters_keep_their_order(adbc: Connection) -> None:
    query = "SELECT " + ", ".join(f"${i} AS c{i}" for i in range(1, 13))
    assert rows(adbc, query, tuple(range(1, 13))) == [tuple(range(1, 13))]
    query = "SELECT " + ", ".join(["?"] * 12)
    assert rows(adbc, query, tuple(range(12))) == [tuple(range(12))]


def test_a_parameter_used_twice(adbc: Connection) -> None:
    assert rows(adbc, "SELECT $1 + $1, $2", (2, "x")) == [(4, "x")]


def test_a_missing_parameter_is_an_error(adbc: Connection) -> None:
    with pytest.raises(adbc_driver_manager.Error, match=r"(?i)parameter"):
        rows(adbc, "SELECT $1 + $2", (1,))
    assert rows(adbc, "SELECT 1") == [(1,)]


def test_a_question_mark_in_text_is_text(adbc: Connection) -> None:
    assert rows(adbc, "SELECT 'really?' AS a, ? AS b -- why?", (1,)) == [("really?", 1)]


def test_prepare_then_execute_again(adbc: Connection) -> None:
    with adbc.cursor() as cursor:
        schema = cursor.adbc_prepare("SELECT CAST($1 AS BIGINT) * 2 AS twice")
        assert schema is not None and schema.types == [pa.int64()]
        for n in range(5):
            cursor.execute("SELECT CAST($1 AS BIGINT) * 2 AS twice", (n,))
            assert cursor.fetchall() == [(2 * n,)]


def test_executemany_inserts_every_row(adbc: Connection, table: str) -> None:
    with adbc.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} (id BIGINT, name VARCHAR, value DOUBLE)")
        cursor.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", [(i, f"n{i}", i / 2) for i in range(100)])
        assert cursor.rowcount in (100, -1)
    assert rows(adbc, f"SELECT count(*), sum(id), max(name) FROM {table}") == [(100, 4950, "n99")]


def test_executemany_is_one_commit(adbc: Connection, table: str) -> None:
    with adbc.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} (id BIGINT)")
        cursor.executemany(f"INSERT INTO {table} VALUES (?)", [(i,) for i in range(50)])
    ((versions,),) = rows(adbc, f"SELECT count(*) FROM system.snapshots WHERE table_name = '{table}'")
    assert versions == 2, "the creation and one append"


def test_updates_give_counts(adbc: Connection, table: str) -> None:
    with adbc.cursor() as cursor:
        cursor.adbc_statement.set_sql_query(f"CREATE TABLE {table} AS SELECT value AS a FROM generate_series(1, 5)")
        assert cursor.adbc_statement.execute_update() in (5, -1)
        cursor.adbc_statement.set_sql_query(f"INSERT INTO {table} SELECT a + 10 FROM {table}")
        assert cursor.adbc_statement.execute_update() == 5
    assert rows(adbc, f"SELECT count(*) FROM {table}") == [(10,)]


def test_deleted_and_updated_rows_are_counted(adbc: Connection, table: str) -> None:
    with adbc.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} AS SELECT value AS a, value % 3 AS k FROM generate_series(1, 9) AS g(value)")
        for statement, count in [
            (f"UPDATE {table} SET a = a + 100 WHERE k = 0", 3),
            (f"UPDATE {table} SET a = 0 WHERE k = 7", 0),
            (f"DELETE FROM {table} WHERE a > 100", 3),
            (f"TRUNCATE TABLE {table}", 6),
        ]:
            cursor.adbc_statement.set_sql_query(statement)
            assert cursor.adbc_statement.execute_update() == count, statement
    assert rows(adbc, f"SELECT count(*) FROM {table}") == [(0,)]
    assert rows(adbc, f"SELECT sum(a) FROM {table} VERSION AS OF 2") == [(45,)]


def test_deletes_take_parameters(adbc: Connection, table: str) -> None:
    with adbc.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} AS SELECT value AS a, 'x' AS s FROM generate_series(1, 9) AS g(value)")
        cursor.execute(f"UPDATE {table} SET s = ? WHERE a >= ?", ("long enough to be stored apart", 8))
        cursor.execute(f"DELETE FROM {table} WHERE a < ? OR s IS NULL", (7,))
    expected = [(7, "x"), (8, "long enough to be stored apart"), (9, "long enough to be stored apart")]
    assert rows(adbc, f"SELECT a, s FROM {table} ORDER BY a") == expected


def test_insert_through_execute_happens_once(adbc: Connection, table: str) -> None:
    """DBAPI runs every statement as a query."""
    with adbc.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} (a BIGINT)")
        cursor.execute(f"INSERT INTO {table} VALUES (1), (2)")
    assert rows(adbc, f"SELECT count(*) FROM {table}") == [(2,)]


def test_ddl_and_names(adbc: Connection, table: str) -> None:
    with adbc.cursor() as cursor:
        cursor.execute(f'CREATE TABLE "{table} Ü" ("Mixed Case" BIGINT)')
        cursor.execute(f'INSERT INTO "{table} Ü" VALUES (1)')
        cursor.execute(f'CREATE VIEW "{table} v" AS SELECT "Mixed Case" + 1 AS b FROM "{table} Ü"')
    assert rows(adbc, f'SELECT b FROM "{table} v"') == [(2,)]
    with adbc.cursor() as cursor:
        cursor.execute(f'DROP VIEW "{table} v"')
        cursor.execute(f'DROP TABLE "{table} Ü"')
    with pytest.raises(adbc_driver_manager.Error):
        rows(adbc, f'SELECT * FROM "{table} Ü"')


# ---- errors ----------------------------------------------------------------------------------------------------------

ERRORS = {
    "syntax": ("SELEC 1", "InvalidArgument"),
    "no such table": ("SELECT * FROM no_such_table", "NotFound"),
    "no such column": ("SELECT no_such_column FROM (SELECT 1 AS a)", "InvalidArgument"),
    "no such function": ("SELECT no_such_function(1)", "InvalidArgument"),
    "types": ("SELECT 'x' + interval '1 day' * true", "InvalidArgument"),
    "two statements": ("SELECT 1; SELECT 2", "InvalidArgument"),
    "a reserved schema": ("CREATE TABLE system.mine (a INT)", "InvalidArgument"),
    "delete": ("DELETE FROM no_such_table", "NotFound"),
    "grant": ("GRANT SELECT ON t TO me", "Unimplemented"),
    "commit without begin": ("COMMIT", "InvalidArgument"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_have_the_right_code_and_harm_nothing(adbc: Connection, name: str) -> None:
    query, code = ERRORS[name]
    with pytest.raises(adbc_driver_manager.Error) as caught:
        rows(adbc, query)
    assert f"({code};" in str(caught.value), caught.value
    assert rows(adbc, "SELECT 1") == [(1,)]


def test_an_error_in_mid_stream(adbc: Connection) -> None:
    """The first batches are fine, a later one divides by zero: an error, not a short result."""
    query = "SELECT 1 / (value - 900000) AS v FROM generate_series(1, 1000000)"
    with pytest.raises((adbc_driver_manager.Error, OSError, pa.ArrowException), match="(?i)divide by zero"):
        rows(adbc, query)
    assert rows(adbc, "SELECT 1") == [(1,)]


def test_cancel(adbc: Connection) -> None:
    with adbc.cursor() as cursor:
        cursor.execute("SELECT a.value FROM generate_series(1, 100000) a, generate_series(1, 100000) b")
        cursor.fetchone()
        cursor.adbc_cancel()
    assert rows(adbc, "SELECT 1") == [(1,)]


def test_a_closed_reader_ends_the_query(adbc: Connection) -> None:
    marker = "SELECT a.value AS closed_reader FROM generate_series(1, 100000) a, generate_series(1, 100000) b"
    with adbc.cursor() as cursor:
        cursor.execute(marker)
        cursor.fetchone()
    running = f"SELECT count(*) FROM system.queries WHERE sql = '{marker}' AND state = 'running'"
    assert eventually(lambda: rows(adbc, running) == [(0,)])


def eventually(check: object, seconds: float = 10) -> bool:
    import time

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.1)
    return False


# ---- connections -----------------------------------------------------------------------------------------------------


def test_current_catalog_and_schema(adbc: Connection, table: str) -> None:
    assert adbc.adbc_current_catalog == "skein"
    assert adbc.adbc_current_db_schema == "public"
    schema = f"s_{table}"
    with adbc.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {schema}")
        cursor.execute(f"CREATE TABLE {schema}.{table} AS SELECT 7 AS a")
    adbc.adbc_current_db_schema = schema
    assert adbc.adbc_current_db_schema == schema
    assert rows(adbc, f"SELECT a FROM {table}") == [(7,)]


def test_many_connections_at_once(server: Server) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def work(n: int) -> int:
        with adbc_driver_flightsql.dbapi.connect(server.url, autocommit=True) as connection:
            return sum(rows(connection, "SELECT ? + 1", (n + k,))[0][0] for k in range(10))

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(work, range(32))) == [sum(n + k + 1 for k in range(10)) for n in range(32)]


def test_partitions(adbc: Connection, table: str) -> None:
    with adbc.cursor() as cursor:
        cursor.adbc_ingest(table, data.small(1000), mode="create")
        partitions, schema = cursor.adbc_execute_partitions(f"SELECT * FROM {table}")
        assert schema is None or schema.names == ["id", "name", "value"]
        total = 0
        for partition in partitions:
            cursor.adbc_read_partition(partition)
            total += cursor.fetch_arrow_table().num_rows
    assert total == 1000


def test_execute_schema(adbc: Connection) -> None:
    with adbc.cursor() as cursor:
        assert cursor.adbc_execute_schema("SELECT 1 AS a, 'x' AS b").types == [pa.int64(), pa.string()]


def test_time_travel(adbc: Connection, table: str) -> None:
    with adbc.cursor() as cursor:
        cursor.adbc_ingest(table, data.small(3), mode="create")
    first = rows(adbc, f"SELECT max(version) FROM system.snapshots WHERE table_name = '{table}'")[0][0]
    with adbc.cursor() as cursor:
        cursor.adbc_ingest(table, data.small(4), mode="append")
    assert rows(adbc, f"SELECT count(*) FROM {table}") == [(7,)]
    assert rows(adbc, f"SELECT count(*) FROM {table} VERSION AS OF {first}") == [(3,)]
    assert rows(adbc, f"SELECT count(*) FROM {table} FOR VERSION AS OF {first}") == [(3,)]
    ((moment,),) = rows(adbc, f"SELECT committed_at FROM system.snapshots WHERE table_name = '{table}' AND version = {first}")
    assert rows(adbc, f"SELECT count(*) FROM {table} TIMESTAMP AS OF '{moment.isoformat()}'") == [(3,)]
    assert rows(adbc, f"SELECT count(*) FROM {table} FOR SYSTEM_TIME AS OF '{moment.isoformat()}'") == [(3,)]
    with pytest.raises(adbc_driver_manager.Error, match="99"):
        rows(adbc, f"SELECT count(*) FROM {table} VERSION AS OF 99")
