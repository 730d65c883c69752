"""pandas over ADBC: read_sql and to_sql."""

from __future__ import annotations

import adbc_driver_manager.dbapi
import pandas as pd
import pytest
import skein_flight

Connection = adbc_driver_manager.dbapi.Connection

FRAME = pd.DataFrame(
    {
        "id": [1, 2, 3],
        "name": ["a", "b", None],
        "value": [0.5, float("nan"), 2.5],
        "when": pd.to_datetime(["2024-02-29 12:00:00", "1970-01-01 00:00:00", None]),
    }
)


def test_read_sql(adbc: Connection) -> None:
    frame = pd.read_sql("SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, NULL ORDER BY a", adbc)
    assert frame["a"].tolist() == [1, 2] and frame["b"].isna().tolist() == [False, True]


def test_read_sql_with_arrow_types(adbc: Connection) -> None:
    frame = pd.read_sql("SELECT CAST(1 AS INT) AS a, CAST(NULL AS INT) AS b", adbc, dtype_backend="pyarrow")
    assert str(frame["a"].dtype) == "int32[pyarrow]" and frame["b"].isna().all()


@pytest.mark.parametrize("mode", ["append", "replace", "fail"])
def test_to_sql(adbc: Connection, table: str, mode: str) -> None:
    assert FRAME.to_sql(table, adbc, index=False, if_exists=mode) == 3
    got = pd.read_sql(f"SELECT * FROM {table} ORDER BY id", adbc)
    pd.testing.assert_frame_equal(got, FRAME, check_dtype=False, check_column_type=False)
    if mode == "fail":
        with pytest.raises(ValueError, match="already exists"):
            FRAME.to_sql(table, adbc, index=False, if_exists=mode)
        return
    FRAME.to_sql(table, adbc, index=False, if_exists=mode)
    expected = 6 if mode == "append" else 3
    assert pd.read_sql(f"SELECT count(*) AS n FROM {table}", adbc)["n"].tolist() == [expected]


def test_to_sql_with_an_index_and_a_schema(adbc: Connection, table: str) -> None:
    with adbc.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA s_{table}")
    FRAME.set_index("id").to_sql(table, adbc, schema=f"s_{table}")
    assert pd.read_sql(f"SELECT id FROM s_{table}.{table} ORDER BY id", adbc)["id"].tolist() == [1, 2, 3]


def test_read_table(adbc: Connection, table: str) -> None:
    FRAME.to_sql(table, adbc, index=False)
    assert len(pd.read_sql_table(table, adbc)) == 3


def test_the_package_gives_pandas(skein: skein_flight.Connection, table: str) -> None:
    skein.ingest(table, FRAME)
    got = skein.sql(f"SELECT * FROM {table} ORDER BY id").pandas()
    pd.testing.assert_frame_equal(got, FRAME, check_dtype=False, check_column_type=False)


def test_aggregates_with_pandas_as_the_oracle(adbc: Connection, nyc_tables: dict) -> None:
    flights = pd.read_csv(nyc_tables["flights"])
    expected = flights.groupby(["origin", "month"])["dep_delay"].agg(["count", "mean", "max"]).reset_index()
    got = pd.read_sql(
        'SELECT origin, month, count(dep_delay) AS count, avg(dep_delay) AS mean, max(dep_delay) AS max'
        " FROM flights GROUP BY origin, month ORDER BY origin, month",
        adbc,
    )
    pd.testing.assert_frame_equal(got, expected, check_dtype=False, check_column_type=False)
