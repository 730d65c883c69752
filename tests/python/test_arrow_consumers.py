"""Engines in the client's process that read a Skein result as an Arrow stream: DuckDB and DataFusion."""

from __future__ import annotations

import adbc_driver_manager.dbapi
import datafusion
import duckdb
import pytest
import skein_flight
from support import data

QUERIES = {
    "busiest routes": "SELECT origin, dest, count(*) AS n FROM flights GROUP BY origin, dest ORDER BY n DESC, origin, dest LIMIT 20",
    "delay by hour": "SELECT hour, count(dep_delay) AS n, round(avg(dep_delay), 6) AS mean FROM flights GROUP BY hour ORDER BY hour",
    "oldest planes": """SELECT p.manufacturer, min(p.year) AS since, count(*) AS n FROM flights f JOIN planes p USING (tailnum)
        GROUP BY p.manufacturer HAVING count(*) > 1000 ORDER BY n DESC, p.manufacturer""",
    "weather": """SELECT w.visib < 1 AS fog, round(avg(f.dep_delay), 6) AS mean, count(*) AS n FROM flights f
        JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour GROUP BY fog ORDER BY fog""",
    "window": """SELECT * FROM (SELECT carrier, month, count(*) AS n, rank() OVER (PARTITION BY month ORDER BY count(*) DESC, carrier) AS r
        FROM flights GROUP BY carrier, month) WHERE r <= 3 ORDER BY month, r""",
    "anti join": """SELECT count(*) AS n FROM flights f WHERE NOT EXISTS (SELECT 1 FROM airports a WHERE a.faa = f.dest)""",
    "nulls": "SELECT count(*) AS n, count(dep_time) AS dep, count(tailnum) AS tail, sum(air_time) AS air FROM flights",
    "text": "SELECT upper(substr(name, 1, 5)) AS s, length(name) AS l FROM airports WHERE name LIKE '%Intl%' ORDER BY name LIMIT 50",
    "distinct": "SELECT DISTINCT engine, engines FROM planes ORDER BY engine, engines",
    "case": """SELECT CASE WHEN distance < 500 THEN 'short' WHEN distance < 2000 THEN 'middle' ELSE 'long' END AS haul,
        count(*) AS n, min(air_time) AS fastest FROM flights GROUP BY haul ORDER BY haul""",
}  # fmt: skip


def oracle(files: dict) -> duckdb.DuckDBPyConnection:
    """The same CSV files in DuckDB."""
    engine = duckdb.connect()
    engine.execute("SET TimeZone = 'UTC'")
    for name, path in files.items():
        engine.execute(f"CREATE TABLE {name} AS SELECT * FROM read_csv('{path}', nullstr=['', 'NA'], sample_size=-1)")
    return engine


@pytest.fixture(scope="module")
def peer(nyc_files: dict) -> duckdb.DuckDBPyConnection:
    return oracle(nyc_files)


@pytest.mark.parametrize("name", QUERIES)
def test_answers_agree_with_duckdb(
    skein: skein_flight.Connection, nyc_tables: dict, peer: duckdb.DuckDBPyConnection, name: str
) -> None:
    expected = peer.execute(QUERIES[name]).fetchall()
    got = skein.sql(QUERIES[name]).fetchall()
    assert len(got) == len(expected)
    for ours, theirs in zip(got, expected, strict=True):
        for left, right in zip(ours, theirs, strict=True):
            assert left == (pytest.approx(right, rel=1e-9) if isinstance(right, float) else right), (ours, theirs)


def test_every_row_agrees_with_duckdb(skein: skein_flight.Connection, nyc_tables: dict, peer: duckdb.DuckDBPyConnection) -> None:
    """Not only aggregates: each of the five tables, row by row."""
    for name in nyc_tables:
        ours = skein.sql(f"SELECT * FROM {name}").arrow()  # noqa: F841 (DuckDB finds it by name)
        for left, right in ((name, "ours"), ("ours", name)):
            query = f"SELECT count(*) FROM (SELECT * FROM {left} EXCEPT ALL SELECT * FROM {right})"
            assert peer.execute(query).fetchone() == (0,), (name, left)


def test_duckdb_reads_the_stream(adbc: adbc_driver_manager.dbapi.Connection) -> None:
    with adbc.cursor() as cursor:
        cursor.execute("SELECT value FROM generate_series(1, 1000000)")
        reader = cursor.fetch_record_batch()  # noqa: F841
        assert duckdb.sql("SELECT count(*), sum(value) FROM reader").fetchall() == [(1_000_000, 500_000_500_000)]


def test_duckdb_reads_a_result(skein: skein_flight.Connection, table: str) -> None:
    skein.ingest(table, data.small(100))
    reader = skein.sql(f"SELECT * FROM {table}").reader()  # noqa: F841
    assert duckdb.sql("SELECT max(name), sum(value) FROM reader").fetchall() == [("row 99", 1237.5)]


def test_duckdb_table_goes_in(skein: skein_flight.Connection, table: str) -> None:
    relation = duckdb.sql("SELECT i AS id, 'n' || i AS name FROM range(1000) AS r(i)")
    assert skein.ingest(table, relation.to_arrow_reader()) == 1000
    assert skein.sql(f"SELECT count(DISTINCT name) FROM {table}").scalar() == 1000


def test_datafusion_reads_the_stream(skein: skein_flight.Connection, table: str) -> None:
    skein.ingest(table, data.small(100))
    context = datafusion.SessionContext()
    context.from_arrow(skein.sql(f"SELECT * FROM {table}").reader(), name="t")
    (batch,) = context.sql("SELECT count(*) AS n, sum(value) AS s FROM t").collect()
    assert batch.to_pylist() == [{"n": 100, "s": 1237.5}]
