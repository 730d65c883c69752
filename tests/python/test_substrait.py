"""Substrait plans that DataFusion's Python package makes of SQL, sent by ADBC and by pyarrow."""

from __future__ import annotations

import adbc_driver_manager
import adbc_driver_manager.dbapi
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from datafusion import SessionContext
from datafusion.substrait import Serde
from support import wire
from support.wire import field

Connection = adbc_driver_manager.dbapi.Connection

FLIGHTS = pa.table({"id": [1, 2, 3, 4], "origin": ["JFK", "LGA", "JFK", None], "delay": [1.5, -2.0, 8.0, None]})
PLANES = pa.table({"origin": ["JFK", "EWR"], "seats": [200, 100]})


def produce(sql: str, **tables: pa.Table) -> bytes:
    """The plan of a query over tables with the columns of these."""
    context = SessionContext()
    for name, table in tables.items():
        context.register_record_batches(name, [table.schema.empty_table().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]])
    return bytes(Serde.serialize_bytes(sql, context))


@pytest.fixture
def flights(adbc: Connection, table: str) -> str:
    with adbc.cursor() as cursor:
        cursor.adbc_ingest(table, FLIGHTS, mode="create")
        cursor.adbc_ingest(f"{table}_planes", PLANES, mode="create")
    return table


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM {t}",
        "SELECT id, delay * 2 AS twice FROM {t} WHERE origin = 'JFK' AND delay > 1.0 ORDER BY id DESC",
        "SELECT origin, count(*) AS n, avg(delay) AS mean FROM {t} GROUP BY origin",
        "SELECT t.id, p.seats FROM {t} t LEFT JOIN {t}_planes p ON t.origin = p.origin",
        "SELECT id FROM {t} WHERE origin IN (SELECT origin FROM {t}_planes)",
        "SELECT upper(origin) AS o, CASE WHEN delay > 0 THEN 'late' ELSE 'early' END AS s FROM {t} LIMIT 3",
        "SELECT id, row_number() OVER (ORDER BY id) AS r FROM {t}",
    ],
)
def test_adbc_answers_like_sql(adbc: Connection, flights: str, sql: str) -> None:
    sql = sql.format(t=flights)
    plan = produce(sql, **{flights: FLIGHTS, f"{flights}_planes": PLANES})
    with adbc.cursor() as cursor:
        cursor.execute(plan)
        got = cursor.fetch_arrow_table()
        cursor.execute(sql)
        expected = cursor.fetch_arrow_table()
    assert got.column_names == expected.column_names
    assert sorted(map(repr, got.to_pylist())) == sorted(map(repr, expected.to_pylist()))


def test_adbc_without_preparing(adbc: Connection, flights: str) -> None:
    statement = adbc_driver_manager.AdbcStatement(adbc.adbc_connection)
    try:
        statement.set_substrait_plan(produce("SELECT sum(id) AS s FROM {t}".format(t=flights), **{flights: FLIGHTS}))
        stream, _ = statement.execute_query()
        reader = pa.RecordBatchReader._import_from_c(stream.address)
        assert reader.read_all().to_pylist() == [{"s": 10}]
    finally:
        statement.close()


def test_adbc_prepares_plans(adbc: Connection, flights: str) -> None:
    statement = adbc_driver_manager.AdbcStatement(adbc.adbc_connection)
    try:
        statement.set_substrait_plan(produce("SELECT id FROM {t} WHERE delay > 0".format(t=flights), **{flights: FLIGHTS}))
        statement.prepare()
        for _ in range(3):
            stream, _ = statement.execute_query()
            reader = pa.RecordBatchReader._import_from_c(stream.address)
            assert reader.read_all().to_pylist() == [{"id": 1}, {"id": 3}]
    finally:
        statement.close()


def inserting(plan: bytes, into: str) -> bytes:
    """A plan that writes the only column, a BIGINT, of what this one reads. DataFusion's package makes no plans that write."""
    insert, write, root, nullable, i64 = 1, 19, 2, 1, 7
    number = field(i64, field(2, nullable))
    schema = field(1, "id") + field(2, field(1, number))
    parts = wire.fields(plan)
    query = wire.fields(wire.fields(parts[3][0])[root][0])[1][0]
    rel = field(write, field(1, field(1, into)) + field(3, schema) + field(4, insert) + field(5, query))
    rest = b"".join(field(number, value) for number, values in parts.items() if number != 3 for value in values)
    return rest + field(3, field(root, field(1, rel)))


@pytest.mark.parametrize("prepared", [False, True])
def test_adbc_runs_an_update(adbc: Connection, flights: str, prepared: bool) -> None:
    with adbc.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {flights}_ids (id BIGINT)")
        statement = adbc_driver_manager.AdbcStatement(adbc.adbc_connection)
        try:
            plan = produce(f"SELECT id FROM {flights} WHERE delay IS NOT NULL", **{flights: FLIGHTS})
            statement.set_substrait_plan(inserting(plan, f"{flights}_ids"))
            if prepared:
                statement.prepare()
            assert statement.execute_update() == 3
        finally:
            statement.close()
        cursor.execute(f"SELECT id FROM {flights}_ids ORDER BY id")
        assert cursor.fetchall() == [(1,), (2,), (3,)]


def test_adbc_is_told_what_is_wrong(adbc: Connection, flights: str) -> None:
    plan = produce("SELECT id FROM {t}".format(t=flights), **{flights: FLIGHTS})
    with adbc.cursor() as cursor:
        for wrong, word in [(plan[:-3], "Substrait"), (b"\xff", "Substrait"), (plan.replace(b"id", b"no"), "'no'")]:
            with pytest.raises(adbc_driver_manager.ProgrammingError, match=word):
                cursor.execute(wrong)
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_pyarrow(flight: fl.FlightClient, flights: str) -> None:
    plan = produce("SELECT id FROM {t} WHERE origin = 'LGA'".format(t=flights), **{flights: FLIGHTS})
    info = flight.get_flight_info(wire.command("CommandStatementSubstraitPlan", field(1, field(1, plan) + field(2, "0.63.0"))))
    assert info.schema.names == ["id"]
    assert flight.do_get(info.endpoints[0].ticket).read_all().to_pylist() == [{"id": 2}]
    newer = wire.command("CommandStatementSubstraitPlan", field(1, field(1, plan) + field(2, "9.0.0")))
    with pytest.raises(NotImplementedError, match="Substrait 9"):
        flight.get_flight_info(newer)
