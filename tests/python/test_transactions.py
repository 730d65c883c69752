"""ADBC with autocommit off: what is committed together is seen together, by everybody or by nobody."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import adbc_driver_flightsql.dbapi
import adbc_driver_manager
import adbc_driver_manager.dbapi
import pyarrow as pa
import pytest
from support.server import Server

Connection = adbc_driver_manager.dbapi.Connection
Connect = Callable[[], Connection]


@pytest.fixture
def connect(server: Server) -> Iterator[Connect]:
    """Connections with autocommit off, as the DBAPI has them unless told otherwise."""
    options = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(adbc_driver_flightsql.dbapi.connect(server.url, db_kwargs=options))


def run(connection: Connection, query: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(query)
        cursor.fetchall()


def one(connection: Connection, query: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


def count(connection: Connection, table: str) -> object:
    return one(connection, f"SELECT count(*) FROM {table}")


def test_autocommit_can_be_off(connect: Connect) -> None:
    connection = connect()
    assert not connection.adbc_connection.get_option("adbc.connection.autocommit") == "true"
    assert one(connection, "SELECT 1") == 1
    connection.commit()
    connection.rollback()


def test_commit_and_rollback(connect: Connect, adbc: Connection, table: str) -> None:
    run(adbc, f"CREATE TABLE {table} (n BIGINT)")
    connection = connect()
    run(connection, f"INSERT INTO {table} VALUES (1), (2)")
    assert count(connection, table) == 2
    assert count(adbc, table) == 0
    connection.rollback()
    assert count(connection, table) == 0
    run(connection, f"INSERT INTO {table} VALUES (3)")
    connection.commit()
    assert count(adbc, table) == 1
    assert one(connection, f"SELECT n FROM {table}") == 3


def test_two_tables_at_once(connect: Connect, adbc: Connection, names: Callable[[], str]) -> None:
    first, second = names(), names()
    for table in (first, second):
        run(adbc, f"CREATE TABLE {table} (n BIGINT)")
    connection = connect()
    stop, seen = threading.Event(), set()
    both = f"SELECT (SELECT count(*) FROM {first}) * 1000 + (SELECT count(*) FROM {second}) AS n"

    def watch() -> None:
        other = connect()
        while not stop.is_set():
            # Two statements of one transaction.
            seen.add((count(other, first), count(other, second)))
            other.rollback()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(10):
            run(connection, f"INSERT INTO {first} VALUES (1)")
            run(connection, f"INSERT INTO {second} SELECT n FROM {first} LIMIT 1")
            connection.commit()
    finally:
        stop.set()
        watcher.join()
    assert one(adbc, both) == 10_010
    assert seen and all(one == two for one, two in seen), seen


def test_the_first_to_commit_wins(connect: Connect, adbc: Connection, table: str) -> None:
    run(adbc, f"CREATE TABLE {table} (n BIGINT)")
    one_, two = connect(), connect()
    for connection in (one_, two):
        run(connection, f"INSERT OVERWRITE {table} SELECT count(*) + 1 AS n FROM {table}")
    one_.commit()
    with pytest.raises(adbc_driver_manager.Error, match="Aborted|changed by another writer"):
        two.commit()
    assert one(adbc, f"SELECT n FROM {table}") == 1
    # The driver begins no other transaction after a commit that failed; a new connection does.
    again = connect()
    run(again, f"INSERT INTO {table} VALUES (2)")
    again.commit()
    assert count(adbc, table) == 2


def test_columns_change_together_with_rows(connect: Connect, adbc: Connection, names: Callable[[], str]) -> None:
    table, other = names(), names()
    run(adbc, f"CREATE TABLE {table} AS SELECT value AS n FROM generate_series(1, 3)")
    run(adbc, f"CREATE TABLE {other} (n BIGINT)")
    connection = connect()
    everything = f"SELECT * FROM {table} ORDER BY n"

    def rows(asked: Connection) -> pa.Table:
        with asked.cursor() as cursor:
            cursor.execute(everything)
            return cursor.fetch_arrow_table()

    for end in (connection.rollback, connection.commit):
        run(connection, f"ALTER TABLE {table} ADD COLUMN v BIGINT DEFAULT 7")
        run(connection, f"ALTER TABLE {table} RENAME COLUMN n TO m")
        run(connection, f"ALTER TABLE {table} RENAME COLUMN m TO n")
        run(connection, f"INSERT INTO {table} VALUES (4, 8)")
        run(connection, f"INSERT INTO {other} SELECT sum(v) FROM {table}")
        # The same text as outside, where it has other columns.
        assert rows(connection).to_pydict() == {"n": [1, 2, 3, 4], "v": [7, 7, 7, 8]}
        assert rows(adbc).to_pydict() == {"n": [1, 2, 3]}
        end()
    assert rows(adbc).to_pydict() == {"n": [1, 2, 3, 4], "v": [7, 7, 7, 8]}
    assert one(adbc, f"SELECT n FROM {other}") == 29

    # Somebody else changes columns first.
    run(connection, f"ALTER TABLE {table} DROP COLUMN v")
    run(adbc, f"ALTER TABLE {table} ADD COLUMN w BIGINT")
    with pytest.raises(adbc_driver_manager.Error, match="Aborted|changed at the same time"):
        connection.commit()
    assert rows(adbc).column_names == ["n", "v", "w"]


def contents(connection: Connection, table: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT n, v FROM {table} ORDER BY n")
        return cursor.fetchall()


@pytest.fixture
def five(adbc: Connection, table: str) -> str:
    """A table of 1 to 5, each with a `v` of 0."""
    run(adbc, f"CREATE TABLE {table} AS SELECT value AS n, CAST(0 AS BIGINT) AS v FROM generate_series(1, 5)")
    return table


CHANGES = [
    ("DELETE FROM {t} WHERE n > 3", [(1, 0), (2, 0), (3, 0)]),
    ("UPDATE {t} SET v = n * 10 WHERE n <= 2", [(1, 10), (2, 20), (3, 0), (4, 0), (5, 0)]),
    (
        "MERGE INTO {t} USING (VALUES (5, 7), (6, 8)) AS s(n, v) ON {t}.n = s.n "
        "WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (n, v) VALUES (s.n, s.v)",
        [(1, 0), (2, 0), (3, 0), (4, 0), (5, 7), (6, 8)],
    ),
    ("TRUNCATE TABLE {t}", []),
]


@pytest.mark.parametrize(("change", "after"), CHANGES, ids=[change.split()[0].lower() for change, _ in CHANGES])
@pytest.mark.parametrize("committed", [True, False])
def test_changes_of_rows(connect: Connect, adbc: Connection, five: str, change: str, after: list[tuple[int, int]], committed: bool) -> None:
    before = [(n, 0) for n in range(1, 6)]
    connection = connect()
    run(connection, change.format(t=five))
    assert (contents(connection, five), contents(adbc, five)) == (after, before)
    if committed:
        connection.commit()
    else:
        connection.rollback()
    assert contents(adbc, five) == contents(connection, five) == (after if committed else before)


def test_changes_of_rows_add_up(connect: Connect, adbc: Connection, five: str) -> None:
    version = f"SELECT version FROM system.datasets WHERE table_name = '{five}'"
    before = one(adbc, version)
    connection = connect()
    for change in [
        f"INSERT INTO {five} VALUES (6, 0)",
        f"UPDATE {five} SET v = v + 1",
        f"DELETE FROM {five} WHERE n % 2 = 0",
        f"UPDATE {five} SET v = v + n WHERE n > 1",
    ]:
        run(connection, change)
    connection.commit()
    assert contents(adbc, five) == [(1, 1), (3, 4), (5, 6)]
    # All of it is one version.
    assert one(adbc, version) == before + 1


@pytest.mark.parametrize("change", ["DELETE FROM {t} WHERE n = 2", "UPDATE {t} SET v = 9 WHERE n = 2"])
def test_rows_that_somebody_else_changed(connect: Connect, adbc: Connection, five: str, change: str) -> None:
    connection = connect()
    run(connection, change.format(t=five))
    run(adbc, f"UPDATE {five} SET v = 5 WHERE n = 2")
    with pytest.raises(adbc_driver_manager.Error, match="(?i)aborted|conflict|changed"):
        connection.commit()
    assert contents(adbc, five)[1] == (2, 5)


def test_several_cursors_share_it(connect: Connect, adbc: Connection, table: str) -> None:
    run(adbc, f"CREATE TABLE {table} (n BIGINT)")
    connection = connect()
    with connection.cursor() as writer, connection.cursor() as reader:
        for round_ in range(1, 4):
            # The same texts in the same cursors, over several transactions: prepared once, run in each.
            writer.execute(f"INSERT INTO {table} VALUES (?)", (round_,))
            reader.execute(f"SELECT count(*) FROM {table}")
            assert reader.fetchone() == (round_,)
            assert count(adbc, table) == round_ - 1
            connection.commit()
    assert count(adbc, table) == 3


def test_many_rows_of_parameters(connect: Connect, adbc: Connection, table: str) -> None:
    run(adbc, f"CREATE TABLE {table} (n BIGINT)")
    connection = connect()
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} VALUES (?)", [(n,) for n in range(100)])
        cursor.executemany(f"INSERT INTO {table} VALUES (?)", [(n,) for n in range(100)])
    assert (count(connection, table), count(adbc, table)) == (200, 0)
    connection.commit()
    assert count(adbc, table) == 200
    assert one(adbc, f"SELECT max(version) FROM system.snapshots WHERE table_name = '{table}'") == 2


@pytest.mark.parametrize("mode", ["create", "append", "replace", "create_append"])
def test_ingest(connect: Connect, adbc: Connection, table: str, mode: str) -> None:
    rows = pa.table({"n": list(range(1000))})
    existing = mode in ("append", "replace")
    if existing:
        run(adbc, f"CREATE TABLE {table} AS SELECT 5 AS n")
    connection = connect()
    for commit in (False, True):
        with connection.cursor() as cursor:
            assert cursor.adbc_ingest(table, rows, mode=mode) == 1000
            assert cursor.adbc_ingest(table, rows, mode="append") == 1000
        assert count(connection, table) == (2001 if mode == "append" else 2000)
        if existing:
            assert count(adbc, table) == 1
        else:
            with pytest.raises(adbc_driver_manager.Error, match="does not exist"):
                count(adbc, table)
        if commit:
            connection.commit()
        else:
            connection.rollback()
    assert count(adbc, table) == (2001 if mode == "append" else 2000)


def test_ingest_and_statements_together(connect: Connect, adbc: Connection, names: Callable[[], str]) -> None:
    loaded, log = names(), names()
    run(adbc, f"CREATE TABLE {log} (what VARCHAR, n BIGINT)")
    connection = connect()
    with connection.cursor() as cursor:
        cursor.adbc_ingest(loaded, pa.table({"n": [1, 2, 3]}), mode="create")
        cursor.execute(f"INSERT INTO {log} SELECT 'loaded', count(*) FROM {loaded}")
    assert count(adbc, log) == 0
    connection.commit()
    assert one(adbc, f"SELECT n FROM {log}") == 3
    assert count(adbc, loaded) == 3


def test_a_table_made_by_two(connect: Connect, adbc: Connection, table: str) -> None:
    connections = [connect(), connect()]
    for connection in connections:
        with connection.cursor() as cursor:
            cursor.adbc_ingest(table, pa.table({"n": [1]}), mode="create")
    connections[0].commit()
    with pytest.raises(adbc_driver_manager.Error, match="(?i)aborted|created since"):
        connections[1].commit()
    assert count(adbc, table) == 1


def test_close_without_commit(server: Server, adbc: Connection, table: str) -> None:
    run(adbc, f"CREATE TABLE {table} (n BIGINT)")
    with adbc_driver_flightsql.dbapi.connect(server.url) as connection:
        run(connection, f"INSERT INTO {table} VALUES (1)")
    assert count(adbc, table) == 0


def test_rows_are_read_to_the_end_after_a_commit(connect: Connect) -> None:
    connection = connect()
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(value) FROM generate_series(1, 1000000)")
        connection.commit()
        assert cursor.fetchone() == (500_000_500_000,)


def test_what_the_server_says_about_them(adbc: Connection) -> None:
    info = adbc.adbc_get_info()
    assert info["vendor_name"] == "Skein"
    with adbc.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
        cursor.execute("ROLLBACK")
