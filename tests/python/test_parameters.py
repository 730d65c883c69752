"""Parameters of every Arrow type through ADBC: one row for a query, many rows for an INSERT."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import adbc_driver_manager.dbapi
import pyarrow as pa
import pytest
from support import data

Connection = adbc_driver_manager.dbapi.Connection

# Types that a table cannot keep as they are, or that the other tests of types leave out.
MORE: dict[str, pa.Array] = {
    "float16": pa.array([1.5, -0.25, None], pa.float16()),
    "date64": pa.array([dt.date(2024, 2, 29), dt.date(1969, 12, 31), None], pa.date64()),
    "decimal32": pa.array([Decimal("1234567.89"), Decimal("-0.01"), None], pa.decimal32(9, 2)),
    "decimal64": pa.array([Decimal("1234567890123456.78"), Decimal("-0.01"), None], pa.decimal64(18, 2)),
    "duration_s": pa.array([dt.timedelta(days=1), dt.timedelta(0), None], pa.duration("s")),
    "duration_ms": pa.array([dt.timedelta(milliseconds=-1), dt.timedelta(0), None], pa.duration("ms")),
    "duration_ns": pa.array([1, -1, None], pa.duration("ns")),
    "interval": pa.array([(1, 2, 3), (-1, 0, 0), None], pa.month_day_nano_interval()),
    "string_view": pa.array(["", "longer than twelve bytes", None], pa.string_view()),
    "binary_view": pa.array([b"", b"longer than twelve bytes", None], pa.binary_view()),
    "large_dictionary": pa.array(["red", "green", None], pa.dictionary(pa.int64(), pa.large_string())),
    "null": pa.nulls(3),
}
STORED = {name: data.every_type()[name].combine_chunks() for name in data.every_type().column_names}
EVERY = STORED | MORE


@pytest.mark.parametrize("name", EVERY)
def test_every_row_comes_back(adbc: Connection, name: str) -> None:
    """Values, extremes and NULL, each bound as it is and sent back."""
    column = EVERY[name]
    for row in range(len(column)):
        with adbc.cursor() as cursor:
            cursor.execute("SELECT $1 AS v, $1 IS NULL AS missing", pa.record_batch([column.slice(row, 1)], names=["1"]))
            got = cursor.fetch_arrow_table()
        assert got["v"].to_pylist() == [column[row].as_py()]
        assert got["missing"].to_pylist() == [column[row].as_py() is None]


@pytest.mark.parametrize("name", STORED)
def test_many_rows_are_inserted(adbc: Connection, table: str, name: str) -> None:
    column = STORED[name]
    with adbc.cursor() as cursor:
        cursor.adbc_ingest(table, pa.table({"v": column}), mode="create")
        cursor.executemany(f"INSERT INTO {table} VALUES (?)", pa.record_batch([column], names=["v"]))
        assert cursor.rowcount == len(column)
        cursor.execute(f"SELECT v FROM {table}")
        assert cursor.fetch_arrow_table()["v"].to_pylist() == 2 * column.to_pylist()
        cursor.execute("SELECT rows_added FROM system.snapshots WHERE table_name = $1 ORDER BY version DESC LIMIT 1", (table,))
        assert cursor.fetchone() == (len(column),), "all rows are one commit"
